//go:build lab

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// rpcsByUser is alice's line in the output of sdiag.
var rpcsByUser = regexp.MustCompile(`(?m)^\s*alice\s*\(\s*\d+\)\s+count:(\d+)`)

// rpcs counts what slurmctld was asked in alice's name since it started (sdiag).
func rpcs(t *testing.T) int {
	t.Helper()
	m := rpcsByUser.FindStringSubmatch(output(t, "root", "ctl", "sdiag"))
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// A bill is what a login node and the controller have done so far.
type bill struct {
	forks, rpcs int           // forks: processes and threads
	cpu         time.Duration // of all processes of the login node; of those that have ended, while their connection is there
}

func costs(t *testing.T) bill {
	t.Helper()
	var b bill
	b.forks = lastPID(t)
	eachProcess(func(p process) {
		if p.host == "daint" {
			for _, ticks := range cpuTicks(p.pid) {
				b.cpu += time.Duration(ticks) * 10 * time.Millisecond
			}
		}
	})
	b.rpcs = rpcs(t)
	return b
}

// lastPID is the newest process number of the login node. A host has numbers of its own, which the kernel gives one after the
// other.
func lastPID(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(output(t, "root", "daint", "sh", "-c", "echo $$")))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cpuTicks is the CPU time of a process, and of its children that have ended, in hundredths of a second (proc(5), fields 14
// to 17 of stat).
func cpuTicks(pid int) (ticks [4]int) {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	if f := strings.Fields(rest); len(f) > 14 {
		for i := range ticks {
			ticks[i], _ = strconv.Atoi(f[11+i])
		}
	}
	return ticks
}

// costSince prints what a phase of a session cost, and returns what there is now.
func costSince(t *testing.T, phase string, from bill) bill {
	t.Helper()
	b := costs(t)
	// One look at the process numbers costs some itself.
	last := lastPID(t)
	look := last - b.forks
	b.forks = last
	alive, cpu := used(isAliceOn("daint")).processes, ""
	if alive > 0 {
		cpu = fmt.Sprintf(" %d ms of CPU,", (b.cpu - from.cpu).Milliseconds())
	}
	fmt.Printf("cost: %s: login node: %d forks,%s %d processes alive; %d RPCs\n", phase, b.forks-from.forks-2*look, cpu, alive, b.rpcs-from.rpcs)
	return b
}

// TestCostAtOnce: what a session that is granted at once costs the login node and the controller.
func TestCostAtOnce(t *testing.T) {
	begin(t)
	settle(t)
	before := costs(t)
	s := cscs(t, "run", "--", lab.testserver, "127.0.0.1:{port}")
	s.ready()
	now := costSince(t, "granted at once, to ready", before)
	waittest.SpendRealTime(time.Minute) // what the figure is for
	now = costSince(t, "a minute of serving", now)
	s.signal(syscall.SIGINT)
	s.end(0)
	now = costSince(t, "the end", now)
	if n := now.rpcs - before.rpcs; n < 5 || n > 12 {
		t.Errorf("a session that is granted at once costs %d RPCs: the limit is 12", n)
	}
}

// TestCost: what a session that waits costs the login node and the controller.
func TestCost(t *testing.T) {
	begin(t)
	settle(t)
	const span = 2 * time.Minute
	job := occupy(t, "mallory", "-N", fmt.Sprint(len(lab.Nodes)))
	before := costs(t)
	s := cscs(t, "run", "--", lab.testserver, "127.0.0.1:{port}")
	s.wait("queued")
	// The first looks at the queue come close together: after 1 and 10 s.
	waittest.SpendRealTime(12 * time.Second)
	now := costSince(t, "submission, and 12 s of waiting", before)
	session := now.rpcs - before.rpcs
	measure := func(phase string) {
		from := now.rpcs
		waittest.SpendRealTime(span) // what the figure is for
		now = costSince(t, fmt.Sprintf("%v of %s", span, phase), now)
		if n := now.rpcs - from; n > int(span/time.Minute)+1 { // sixty an hour; one more may fall into the span
			t.Errorf("%s: %d RPCs in %v", phase, n, span)
		}
	}
	measure("waiting")
	from := now.rpcs
	cancelJob(t, job)
	s.ready()
	now = costSince(t, "from the grant to ready", now)
	session += now.rpcs - from
	measure("serving")
	from = now.rpcs
	s.signal(syscall.SIGINT)
	s.end(0)
	now = costSince(t, "the end", now)
	// Beside the look once a minute.
	if session += now.rpcs - from; session < 8 || session > 16 {
		t.Errorf("a session that waits costs %d RPCs: the limit is 16", session)
	}
}

// openSockets opens 6,250 connections to itself, which are 12,500 sockets, and listens on so many ports, until its input ends.
const openSockets = `
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
server = socket.create_server(("127.0.0.1", 0))
keep = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
for _ in range(6250):
    keep += [socket.create_connection(server.getsockname()), server.accept()[0]]
print("open", flush=True)
sys.stdin.read()
`

// TestCostOnNode: the runner takes less than 1 % of a core while it serves, also with 50,000 connected and 1,200
// listening sockets on its node.
func TestCostOnNode(t *testing.T) {
	begin(t)
	s := cscs(t, "run", "--", lab.testserver, "127.0.0.1:{port}")
	s.ready()
	g, _ := s.find("granted")
	isRunner := func(p process) bool {
		return isAliceOn(g.Node)(p) && strings.Contains(p.cmdline, "/"+g.Session+"/remote.sh run")
	}
	measure := func(sockets string) {
		const span = time.Minute
		from := used(isRunner)
		waittest.SpendRealTime(span) // what the figure is for
		u := used(isRunner)
		share := float64(u.cpu-from.cpu) / float64(span)
		fmt.Printf("cost: the runner, %s: %.2f %% of a core\n", sockets, 100*share)
		if u.processes == 0 || share >= 0.01 {
			t.Errorf("with %s, the %d processes of the runner take %.2f %% of a core: the limit is 1 %%", sockets, u.processes, 100*share)
		}
	}
	// What the start costs is over when a pause of the runner's looks has passed.
	waittest.SpendRealTime(5 * time.Second)
	measure("few sockets")
	for range 4 {
		cmd := as(t.Context(), "root", g.Node, "python3", "-c", openSockets, "300")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = in.Close()
			_ = cmd.Wait()
		})
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
			t.Fatalf("sockets on %s: %q, %v", g.Node, line, err)
		}
	}
	measure("50,000 connected and 1,200 listening sockets")
	closeReady(t, s)
}
