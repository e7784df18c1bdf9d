//go:build lab

package e2e

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

var (
	soakFor = flag.Duration("soak.for", 3*time.Minute, "how long TestSoak's session lasts")
	soakCut = flag.Duration("soak.cut-every", 20*time.Second, "how often its line is cut")
)

// usage is what a set of processes has at one moment, or has had so far.
type usage struct {
	processes, threads, files, rssKiB int
	cpu                               time.Duration
}

// used adds up what the chosen processes have.
func used(of func(process) bool) usage {
	var u usage
	eachProcess(func(p process) {
		if !of(p) {
			return
		}
		dir := fmt.Sprintf("/proc/%d/", p.pid)
		fds, _ := os.ReadDir(dir + "fd")
		tasks, _ := os.ReadDir(dir + "task")
		u.processes++
		u.files += len(fds)
		u.threads += len(tasks)
		status, _ := os.ReadFile(dir + "status")
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
				n, _ := strconv.Atoi(f[1])
				u.rssKiB += n
			}
		}
		// proc(5): fields 14 and 15, in hundredths of a second; the command may hold spaces.
		stat, _ := os.ReadFile(dir + "stat")
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 12 {
			user, _ := strconv.Atoi(f[11])
			system, _ := strconv.Atoi(f[12])
			u.cpu += time.Duration(user+system) * 10 * time.Millisecond
		}
	})
	return u
}

func isClient(p process) bool {
	return p.host == "laptop" && p.uid == labctl.AliceUID && strings.HasPrefix(p.cmdline, lab.bin+" ")
}

func isAliceOn(hosts ...string) func(process) bool {
	return func(p process) bool { return p.uid == labctl.AliceUID && slices.Contains(hosts, p.host) }
}

// TestSoak: a session with traffic whose line is cut again and again has no more of anything in its
// last tenth than in its first: threads, files, memory, processes on the jump host, the login
// node and the node. Samples are taken before each cut, when all is as it should be.
func TestSoak(t *testing.T) {
	begin(t)
	t.Cleanup(func() { sweepLinks(t) })
	s := cscs(t, "run", "--", lab.testserver, "127.0.0.1:{port}")
	e := s.ready()
	traffic := watchTraffic(s)
	defer traffic.stop()
	if *soakFor < 2**soakCut {
		t.Fatalf("a soak of %v has no two samples, one each %v", *soakFor, *soakCut)
	}
	places := []struct {
		name string
		of   func(process) bool
	}{
		{"client", isClient},
		{"login node", isAliceOn("daint")},
		{"jump host", isAliceOn("ela")},
		{"compute node", isAliceOn(lab.Nodes...)},
	}
	samples := make([][]usage, len(places))
	end := time.Now().Add(*soakFor)
	for n := 0; time.Now().Before(end); n++ {
		waittest.SpendRealTime(*soakCut) // the pause between two cuts
		if code, body := get(t, e.URL); code != 200 {
			t.Fatalf("after %d cuts: %s\n%s", n, body, s.stdout)
		}
		for i, p := range places {
			samples[i] = append(samples[i], used(p.of))
		}
		tell(t, "cut")
		// The length of the cut: some are stalls, and some are long enough for another chain.
		waittest.SpendRealTime([]time.Duration{2 * time.Second, 17 * time.Second}[n%2])
		tell(t, "heal")
	}
	if left := poll(comeback, func() string {
		code, body := get(t, e.URL)
		if code == 200 {
			return ""
		}
		return body
	}); left != "" {
		t.Errorf("the URL did not come back: %s\n%s", left, s.stdout)
	}
	if traffic.lines == 0 || traffic.connections == 0 {
		t.Error("nothing came through the tunnel")
	}
	fmt.Printf("soak: %v, %d cuts, %d numbers over %d connections\n", *soakFor, len(samples[0]), traffic.lines, traffic.connections)
	for i, p := range places {
		// From the third on: the first two come before there was a chain that retires, for
		// which each place has a share of its own for a minute.
		if len(samples[i]) > 4 {
			samples[i] = samples[i][2:]
		}
		tenth := max(1, len(samples[i])/10)
		first, last := mean(samples[i][:tenth]), mean(samples[i][len(samples[i])-tenth:])
		if first.processes == 0 || last.processes == 0 || first.rssKiB == 0 {
			t.Errorf("of the %s nothing was measured: first %+v, last %+v", p.name, first, last)
		}
		for _, q := range []struct {
			name        string
			first, last int
			slack       int // what one retiring chain or a pending close may be
		}{
			{"processes", first.processes, last.processes, 2},
			{"threads", first.threads, last.threads, 4},
			{"files", first.files, last.files, 12},
			{"memory (KiB)", first.rssKiB, last.rssKiB, 12 << 10},
		} {
			fmt.Printf("soak: %-12s %-12s first tenth %6d, last tenth %6d, ratio %.2f\n", p.name, q.name, q.first, q.last, float64(q.last)/max(1, float64(q.first)))
			if float64(q.last) > 1.1*float64(q.first)+float64(q.slack) {
				t.Errorf("%s of the %s grew from %d to %d", q.name, p.name, q.first, q.last)
			}
		}
	}
	traffic.stop()
	if traffic.bad != "" {
		t.Error(traffic.bad)
	}
	s.signal(syscall.SIGINT)
	s.end(0)
}

func mean(of []usage) usage {
	var sum usage
	for _, u := range of {
		sum.processes += u.processes
		sum.threads += u.threads
		sum.files += u.files
		sum.rssKiB += u.rssKiB
	}
	n := len(of)
	return usage{processes: sum.processes / n, threads: sum.threads / n, files: sum.files / n, rssKiB: sum.rssKiB / n}
}
