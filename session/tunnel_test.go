package session

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
	"github.com/alps-tunnel/cscs/slurm"
)

// serveInJob starts a server on the node in a job; "" is a process that Slurm did not start.
func serveInJob(t *testing.T, job, addr string) (port int, stop func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), foreignServerEnv+"="+addr)
	if job != "" {
		cmd.Env = append(cmd.Env, "SLURM_JOB_ID="+job)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(stop)
	said := bufio.NewScanner(out)
	if !said.Scan() {
		t.Fatalf("the server does not listen: %v", said.Err())
	}
	bound, err := netip.ParseAddrPort(said.Text())
	if err != nil {
		t.Fatal(err)
	}
	return int(bound.Port()), stop
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// tunnel starts a tunnel to a port of the node or, with a job, to the first node of that.
func (a *alps) tunnel(job string, port int) *life {
	a.t.Helper()
	return a.live(a.config(), func(ctx context.Context, cfg Config, emit func(Event)) error {
		tc := TunnelConfig{ID: cfg.ID, Cluster: cfg.Cluster, Hops: cfg.Hops, NodeHop: cfg.NodeHop, Node: "nid001001", Port: port, Explain: cfg.Explain}
		if job != "" {
			tc.Node, tc.Job = "", job
		}
		return Tunnel(ctx, tc, emit)
	})
}

// watched reports whether Slurm has answered a watch over the job.
func (a *alps) watched(job string) bool {
	return strings.Contains(a.Calls(), "show job "+job+"\n") && a.Running("scontrol") == 0
}

// awaitWatch waits until the job is watched.
func (a *alps) awaitWatch(job string) {
	a.t.Helper()
	waittest.Until(a.t, 30*time.Second, "job "+job+" is watched", func() bool { return a.watched(job) })
}

// TestJobOfTheServer: of several jobs of the user's on the node, a tunnel names the one that the server
// runs in, warns of its time limit, and ends with it alone.
func TestJobOfTheServer(t *testing.T) {
	t.Parallel()
	for name, job := range map[string]string{"node": "", "another job": "102"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAlps(t, "FAKE_SCAN=nid001001")
			soon := time.Now().Add(20 * time.Minute).Truncate(time.Second)
			a.RunJob("101", soon)
			a.RunJob("102", soon.Add(time.Hour))
			port, stop := serveInJob(t, "101", "127.0.0.1:0")
			l := a.tunnel(job, port)
			ready := l.await(EventReady)
			if ready.InJob != "101" || job == "" && (ready.Until == nil || !ready.Until.Equal(soon)) {
				t.Errorf("ready in job %q until %v, the server runs in 101 until %v", ready.InJob, ready.Until, soon)
			}
			a.awaitWatch("101")
			a.EndJob("101", "TIMEOUT")
			stop()
			if err := l.end(); err == nil || !strings.Contains(err.Error(), "101") {
				t.Errorf("job 101 has reached its time limit: %v", err)
			}
		})
	}
}

// TestJobOfTheServerUnknown: where the node does not show in which of several jobs the server runs, none is
// named or watched. The only job on the node is.
func TestJobOfTheServerUnknown(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_SCAN=nid001001")
	soon := time.Now().Add(20 * time.Minute)
	a.RunJob("101", soon)
	port, _ := serveInJob(t, "", "127.0.0.1:0")
	l := a.tunnel("", port)
	if ready := l.await(EventReady); ready.InJob != "101" || ready.Until == nil {
		t.Errorf("ready in job %q until %v: 101 is the only one", ready.InJob, ready.Until)
	}
	a.awaitWatch("101")
	l.endReady()
	a.RunJob("102", soon.Add(time.Hour))
	l = a.tunnel("", port)
	if ready := l.await(EventReady); ready.InJob != "" || ready.Until != nil {
		t.Errorf("ready in job %q until %v: it is not known", ready.InJob, ready.Until)
	}
	l.endReady()
	if a.watched("102") {
		t.Error("a job is watched that the server need not run in")
	}
}

// TestServerMovesToAnotherJob: a server that comes back in another job ends with that one.
func TestServerMovesToAnotherJob(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_SCAN=nid001001")
	soon := time.Now().Add(20 * time.Minute)
	a.RunJob("101", soon)
	a.RunJob("102", soon)
	port, stop := serveInJob(t, "101", "127.0.0.1:0")
	l := a.tunnel("", port)
	l.await(EventReady)
	stop()
	l.await(EventWarning) // nothing listens
	_, stop = serveInJob(t, "102", loopback(port))
	a.awaitWatch("102")
	a.EndJob("102", "CANCELLED")
	stop()
	if err := l.end(); err == nil || !strings.Contains(err.Error(), "102") {
		t.Errorf("job 102 was cancelled: %v", err)
	}
}

// TestJobNeverSeen: a process can carry the number of a job that is over. A tunnel to it goes on.
func TestJobNeverSeen(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_SCAN=nid001001")
	a.RunJob("101", time.Now().Add(20*time.Minute))
	a.RunJob("102", time.Now().Add(20*time.Minute))
	a.RunJob("99", time.Now())
	a.EndJob("99", "COMPLETED")
	port, stop := serveInJob(t, "99", "127.0.0.1:0")
	l := a.tunnel("", port)
	l.await(EventReady)
	a.awaitWatch("99")
	stop()
	l.await(EventWarning) // nothing listens
	serveInJob(t, "102", loopback(port))
	a.awaitWatch("102") // after the answer of the watch over 99
	l.endReady()
}

// TestDoubts: the loss of the node is not held back by an earlier doubt about the job.
func TestDoubts(t *testing.T) {
	tn := &tunnel{jobDoubts: make(chan slurm.Doubt, 1)}
	tn.sendDoubt(slurm.ServerGone)
	tn.sendDoubt(slurm.NodeLost)
	tn.sendDoubt(slurm.ServerGone)
	if doubt := <-tn.jobDoubts; doubt != slurm.NodeLost {
		t.Errorf("the login node is told %q", doubt)
	}
	new(tunnel).sendDoubt(slurm.NodeLost) // without a job: nothing to ask
}
