//go:build lab

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// row is one fault and the sessions that it strikes.
type row struct {
	fault
	mu      sync.Mutex
	moved   *sync.Cond
	members int
	arrived [4]int
	once    [2]sync.Once
	subject map[string]*subject // by phase
	node    map[string]string   // by phase
	occupy  string              // mallory's job, on the nodes that are queued for
	struck  time.Time
	freed   time.Time // mallory's nodes are
	healed  time.Time // the network, or what else was gone, is back
}

// subject is the session of one cell.
type subject struct {
	*session
	phase, tag, id string
}

// newRow prepares the lab for a row: mallory has nodes, and salloc and sbatch on the login
// node can be held.
func newRow(t *testing.T, f fault) *row {
	t.Helper()
	r := &row{fault: f, subject: map[string]*subject{}, node: map[string]string{}}
	r.moved = sync.NewCond(&r.mu)
	if len(f.cells) != len(faultPhases) {
		t.Fatalf("%s has outcomes for %d phases, of %d", f.name, len(f.cells), len(faultPhases))
	}
	if len(lab.Nodes) < len(faultPhases) {
		t.Fatalf("a row needs %d nodes, one for each cell: scripts/lab up --nodes %[1]d", len(faultPhases))
	}
	for i, phase := range faultPhases {
		if _, ok := f.cells[phase]; !ok { // the empty outcome is that of a client that died
			t.Fatalf("%s says nothing of the phase %s", f.name, phase)
		}
		r.node[phase] = lab.Nodes[i]
	}
	wanted := []string{r.node[handedOver], r.node[enqueued], r.node[queued], r.node[queuedSalloc]}
	r.occupy = occupy(t, "mallory", "-N", strconv.Itoa(len(wanted)), "-w", strings.Join(wanted, ","))
	holdRequests(t)
	t.Cleanup(func() { r.sweep(t) })
	return r
}

// free gives mallory's nodes back: what waits for them can start.
func (r *row) free(t *testing.T) {
	t.Helper()
	r.freed = time.Now()
	if out, err := lab.Command(context.Background(), "in", "ctl", "scancel", r.occupy).CombinedOutput(); err != nil {
		t.Errorf("scancel %s: %v: %s", r.occupy, err, out)
	}
}

// join says that this cell was chosen to run. It is called before t.Parallel, which
// waits until all have been.
func (r *row) join() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members++
}

// leave is for a cell that goes on alone, or has failed: the others do not wait for it.
func (r *row) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members--
	r.moved.Broadcast()
}

// meet waits until all cells have come to a point.
func (r *row) meet(point int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrived[point]++
	r.moved.Broadcast()
	for r.arrived[point] < r.members {
		r.moved.Wait()
	}
}

// cell is one session's life with the fault.
func (r *row) cell(t *testing.T, phase string) {
	left := sync.OnceFunc(r.leave)
	defer left()
	s := &subject{phase: phase, tag: r.name + "-" + phase}
	r.mu.Lock()
	r.subject[phase] = s
	r.mu.Unlock()

	// What cannot last comes late: a dial has its clock, an end its grace.
	if phase != connecting {
		r.bring(t, s)
	}
	r.meet(0)
	if phase == connecting {
		r.bring(t, s)
	}
	r.meet(1)
	if phase == ending {
		s.signal(syscall.SIGINT)
		s.wait("ending")
		s.remote(t, "stopping") // the runner has asked the server, which does not heed
	}
	r.meet(2)
	r.once[0].Do(func() {
		r.struck = time.Now()
		r.strike(t, r)
		resumeSSHD(t)
	})
	o := r.cells[phase]
	// sbatch asks or answers late, but it does.
	if strings.HasSuffix(holds(phase), "sbatch") || o.lives() && r.mend == nil {
		s.release(t)
	}
	if !o.lives() || r.mend != nil {
		s.gone(t, r, o)
	}
	if o.lives() && r.mend != nil {
		s.ends(t, o)
	}
	r.meet(3)
	r.once[1].Do(func() {
		if r.mend != nil {
			r.mend(t, r)
		}
	})
	switch {
	case o.waits:
		s.goneWhenFreed(t, r)
	case o.goesOn:
		s.goesOn(t, r)
		s.gone(t, r, o)
	case o.lives() && r.mend == nil:
		s.ends(t, o)
		s.gone(t, r, o)
	}
}

// sweep is for what a row may leave: the directories that are said to stay, the jobs that
// are known to leak, and the two sshds' ends of a connection whose client is no more and
// has not said so, which are not ours to end.
func (r *row) sweep(t *testing.T) {
	t.Helper()
	for phase, s := range r.subject {
		dir := clusterHome(".cscs/daint", s.id)
		if s.id == "" {
			continue
		}
		if _, err := os.Stat(dir); err == nil && r.cells[phase].stays {
			_ = os.RemoveAll(dir)
		}
		if r.cells[phase].known != "" {
			_, _ = try(t, "root", "ctl", "scancel", "-n", "cscs-"+s.id)
		}
	}
	for _, dir := range []string{".cscs/daint", ".cscs"} {
		_ = os.Remove(clusterHome(dir, ".made-by-cscs"))
		_ = os.Remove(clusterHome(dir))
	}
	sweepLinks(t)
	settle(t)
}

// sweepLinks ends the sshds of connections whose client does not say any more that it is
// gone, and with them what they run. Where pam_slurm_adopt confines, a node's end with the job.
func sweepLinks(t *testing.T) {
	t.Helper()
	for _, p := range userProcesses() {
		if isSSHD(p) {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
}

func isSSHD(p process) bool {
	return strings.HasPrefix(p.cmdline, "sshd: ") || strings.HasPrefix(p.cmdline, "sshd-session: ")
}

// clients are the processes of cscs itself on the laptop.
func (r *row) clients(t *testing.T) []int {
	t.Helper()
	var pids []int
	eachProcess(func(p process) {
		if p.host == "laptop" && p.uid == labctl.AliceUID && strings.HasPrefix(p.cmdline, lab.bin+" ") {
			pids = append(pids, p.pid)
		}
	})
	if len(pids) < len(r.subject) {
		t.Errorf("there are %d sessions and %d clients", len(r.subject), len(pids))
	}
	return pids
}

// onLogin are all of alice's processes on the login node.
func onLogin() []int {
	var pids []int
	for _, p := range userProcesses() {
		if p.host == "daint" && p.uid == labctl.AliceUID {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// kill kills them with -9, as good as in one moment.
func kill(pids []int) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// untilRedialled waits until a client that has a runner dials beside its silent chain: a
// connection to ela's sshd is being tried that gets no answer (SYN_SENT is state 02).
func (r *row) untilRedialled(t *testing.T) {
	t.Helper()
	if left := poll(patience, func() string {
		text, _ := os.ReadFile("/proc/" + lab.HostPID("laptop") + "/net/tcp")
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[2], ":0016") && f[3] == "02" {
				return ""
			}
		}
		return "nobody dials again"
	}); left != "" {
		t.Error(left)
	}
}

// untilServersEnd waits until no server of a session runs on a node.
func (r *row) untilServersEnd(t *testing.T) {
	t.Helper()
	if left := poll(patience, func() string {
		for _, p := range userProcesses() {
			if strings.Contains(p.cmdline, "testserver") && slices.Contains(lab.Nodes, p.host) {
				return p.cmdline
			}
		}
		return ""
	}); left != "" {
		t.Errorf("still runs: %s", left)
	}
}

// stopSSHD has daint's sshd answer nobody: the kernel takes connections for it.
func stopSSHD(t *testing.T) { sshdSignal(t, syscall.SIGSTOP) }

func resumeSSHD(t *testing.T) { sshdSignal(t, syscall.SIGCONT) }

func sshdSignal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	eachProcess(func(p process) {
		if p.host == "daint" && p.uid == 0 && strings.Contains(p.cmdline, "sshd") && strings.Contains(p.cmdline, "[listener]") {
			_ = syscall.Kill(p.pid, sig)
		}
	})
}

// holds is the command whose answer is kept from the session in that phase, or that is held before it asks.
func holds(phase string) string {
	switch phase {
	case submitted:
		return "salloc"
	case handedOver:
		return "before-sbatch"
	case submittedSbatch, enqueued:
		return "sbatch"
	}
	return ""
}

// holdRequests puts a salloc and an sbatch before Slurm's on daint's PATH. If the request's
// comment says so, what Slurm's says is kept back until there is a file, or no process left
// that would read it; or Slurm's is not called before there is the file.
func holdRequests(t *testing.T) {
	t.Helper()
	const head = `#!/bin/bash
[[ "$*" =~ --comment=hold-(before-)?%[1]s-([a-z-]+) ]] || exec /usr/bin/%[1]s "$@"
file=/home/go-${BASH_REMATCH[2]} reader=$PPID
wait_for_it() {
	exec {never}<> <(:)
	until [[ -e $file || ! -d /proc/$reader ]]; do read -r -t 0.05 -u "$never"; done
}
if [[ ${BASH_REMATCH[1]} ]]; then
	wait_for_it
	[[ -d /proc/$reader ]] || exit 1
	exec /usr/bin/%[1]s "$@"
fi
`
	for name, tail := range map[string]string{
		"salloc": `exec /usr/bin/salloc "$@" 2> >(wait_for_it; exec cat >&2)` + "\n",
		"sbatch": `answer=$(/usr/bin/sbatch "$@" 2>&1)` + "\n" + `code=$?` + "\n" + `wait_for_it` + "\n" + `printf '%s\n' "$answer"` + "\n" + `exit "$code"` + "\n",
	} {
		path := func() string { return lab.Path("daint", "/usr/local/bin/"+name) }
		if err := os.WriteFile(path(), []byte(fmt.Sprintf(head, name)+tail), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Remove(path()) })
	}
	t.Cleanup(func() {
		files, _ := filepath.Glob(filepath.Join(lab.Env["CLUSTER_HOMES"], "go-*"))
		for _, f := range files {
			_ = os.Remove(f)
		}
	})
}

// runtime makes a runtime directory on the laptop for the session alone, so that it
// shares its login with none of the row's others. It is what sets it in its environment.
func (s *subject) runtime(t *testing.T) string {
	t.Helper()
	dir := fmt.Sprintf("/run/user/%d/%s", labctl.AliceUID, s.phase)
	path := func() string { return lab.Path("laptop", dir) }
	if err := os.Mkdir(path(), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(path()) })
	if err := os.Chown(path(), labctl.AliceUID, labctl.AliceUID); err != nil {
		t.Fatal(err)
	}
	return "XDG_RUNTIME_DIR=" + dir
}

// hook is a file that a held request or a slow server waits for, as the cluster sees it.
func (s *subject) hook() string { return "/home/go-" + s.tag }

// release lets go on what was held.
func (s *subject) release(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(lab.Env["CLUSTER_HOMES"], filepath.Base(s.hook())), nil, 0o644); err != nil {
		t.Error(err)
	}
}

// String is for what went wrong.
func (s *subject) String() string {
	return fmt.Sprintf("session %s (%s)\nstdout: %s\nstderr: %s", s.id, s.phase, s.stdout, s.stderr)
}
