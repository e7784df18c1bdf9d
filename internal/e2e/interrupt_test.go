//go:build lab

package e2e

import (
	"net/http"
	"syscall"
	"testing"
	"time"
)

// phases are the moments at which a user may change his mind. Each brings a
// session there and gives it, with the exit code that an interrupt then has.
var phases = []struct {
	name string
	code int
	to   func(*testing.T) *session
}{
	{"connecting", 130, func(t *testing.T) *session {
		cut(t)
		s := serve(t, nil)
		s.wait("connecting")
		return s
	}},
	{"queued", 130, func(t *testing.T) *session {
		settle(t)
		occupy(t, "mallory", "-N", "3")
		s := serve(t, nil)
		s.wait("queued")
		return s
	}},
	{"starting", 130, func(t *testing.T) *session {
		s := cscs(t, "run", "--", "sleep", "600")
		s.wait("started")
		return s
	}},
	{"ready", 0, func(t *testing.T) *session {
		s := serve(t, nil)
		s.ready()
		return s
	}},
}

// TestTeardownInEveryPhase: Ctrl-C and SIGTERM end a session wherever it is,
// with nothing left in the queue when the program ends.
func TestTeardownInEveryPhase(t *testing.T) {
	for sig, name := range map[syscall.Signal]string{syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM"} {
		for _, p := range phases {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				begin(t)
				s := p.to(t)
				s.signal(sig)
				s.end(p.code)
				if left := aliceJobs(t); left != "" {
					t.Errorf("cscs has ended, and in the queue is: %s", left)
				}
			})
		}
	}
}

// TestTeardownByKey: the same by the key, on a terminal.
func TestTeardownByKey(t *testing.T) {
	for _, p := range []struct {
		name, until string
		code        int
		command     []string
	}{
		{"starting", `(?i)start|listen`, 130, []string{"sleep", "600"}},
		{"ready", `ready: localhost[\s\S]*http://127\.0\.0\.1:\d+`, 0, []string{lab.testserver, "127.0.0.1:{port}"}},
	} {
		t.Run(p.name, func(t *testing.T) {
			begin(t)
			m := terminal(t, append([]string{"run", "--cluster", "daint", "--no-browser", "--"}, p.command...)...)
			m.expect(p.until)
			m.send(ctrlC)
			if code := m.exit(patience); code != p.code {
				t.Errorf("exit code %d, want %d\n%s", code, p.code, plain(m.stdout.String()))
			}
			if left := aliceJobs(t); left != "" {
				t.Errorf("cscs has ended, and in the queue is: %s", left)
			}
		})
	}
}

// aliceJobs are her jobs that still hold something.
func aliceJobs(t *testing.T) string {
	t.Helper()
	return output(t, "alice", "daint", "squeue", "-a", "-h", "-u", "alice", "-t", "PENDING,RUNNING,SUSPENDED,CONFIGURING", "-o", "%i %T")
}

// TestTeardownOfDeafServer: a server that ignores SIGTERM costs the grace of 10 s, no
// less and not much more.
func TestTeardownOfDeafServer(t *testing.T) {
	begin(t)
	s := serve(t, nil, "-ignore-term")
	s.ready()
	began := time.Now()
	closeReady(t, s)
	if d := time.Since(began); d < 9500*time.Millisecond || d >= 25*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestTeardownTwice: the second Ctrl-C waits for no grace.
func TestTeardownTwice(t *testing.T) {
	begin(t)
	s := serve(t, nil, "-ignore-term")
	s.ready()
	began := time.Now()
	s.signal(syscall.SIGINT)
	s.wait("ending")
	s.signal(syscall.SIGINT)
	s.end(0)
	if d := time.Since(began); d > 8*time.Second {
		t.Errorf("the second Ctrl-C took %v: it waited for the server's grace", d)
	}
	if left := aliceJobs(t); left != "" {
		t.Errorf("left in the queue: %s", left)
	}
}

// TestTeardownThrice: the third Ctrl-C leaves at once, also when nobody
// answers, and says how to cancel what may be left.
func TestTeardownThrice(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	s.ready()
	g, _ := s.find("granted")
	cut(t)
	s.signal(syscall.SIGINT)
	s.wait("ending")
	s.signal(syscall.SIGINT)
	s.wait("warning") // signals that come in one moment are one
	began := time.Now()
	s.signal(syscall.SIGINT)
	e := s.failure(6, "remains")
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("the third Ctrl-C took %v", d)
	}
	says(t, e.Message+" "+e.Hint, "scancel", g.Job)
	tell(t, "heal")
	// Leases, which would end it by themselves, are tested with --lease.
	cancelJob(t, g.Job)
	forgetSessions(t)
}

// TestTeardownWithoutNetwork: with the line cut, Ctrl-C gives up within its
// time and does not claim that the job is gone.
func TestTeardownWithoutNetwork(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	s.ready()
	g, _ := s.find("granted")
	cut(t)
	s.signal(syscall.SIGINT)
	s.await(2*patience, "ended") // 15 s of silence, 20 s of dialling, and a parting word
	e := s.failure(6, "remains")
	says(t, e.Message+" "+e.Hint, "scancel", g.Job)
	tell(t, "heal")
	cancelJob(t, g.Job)
	forgetSessions(t)
}

// forgetSessions removes what a session that could not reach its cluster had
// to leave there.
func forgetSessions(t *testing.T) {
	t.Helper()
	output(t, "alice", "daint", "rm", "-rf", ".cscs")
}

// TestTeardownWhileBusy: open connections do not hold the end up.
func TestTeardownWhileBusy(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	e := s.ready()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL+"download?n=100000000000", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := onLaptop.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := resp.Body.Read(make([]byte, 1<<16)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	closeReady(t, s)
	if d := time.Since(began); d > 12*time.Second {
		t.Errorf("took %v", d)
	}
}
