package registry

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/alps-tunnel/cscs/internal/waittest"
	"github.com/alps-tunnel/cscs/session"
)

// holder is the environment that makes of the test binary a process that attends a session
// of that store, until its standard input ends.
const holder = "CSCS_TEST_ATTEND"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holder); dir != "" {
		s := Open(dir)
		e, err := s.Take(Record{ID: "heldheld", State: Ready})
		if err == nil {
			_, err = Serve(s.Dir(), "heldheld", attending{})
		}
		if err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString("attending\n")
		_, _ = os.Stdin.Read(make([]byte, 1))
		_ = e.Remove()
		return
	}
	goleak.VerifyTestMain(m)
}

func take(t *testing.T, s *Store, r Record) *Entry {
	t.Helper()
	e, err := s.Take(r)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func list(t *testing.T, s *Store) []Listed {
	t.Helper()
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRecordOfASession(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir)
	if all := list(t, s); all != nil {
		t.Errorf("before the first: %v", all)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("to look made %v", left)
	}

	e := take(t, s, Record{ID: "abcdefgh", App: "jupyter", Cluster: "daint", State: Connecting})
	for _, f := range []string{"abcdefgh.json", "abcdefgh.lock"} {
		info, err := os.Stat(filepath.Join(dir, "sessions", f))
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f, info.Mode())
		}
	}
	if err := e.Write(Record{App: "jupyter", State: Queued, Job: "7"}); err != nil {
		t.Fatal(err)
	}
	all := list(t, s)
	if len(all) != 1 || all[0].State != Queued || all[0].Job != "7" || !all[0].Attended || all[0].V != RecordVersion {
		t.Errorf("listed %+v", all)
	}
	var attended *AttendedError
	if _, err := s.Take(Record{ID: "abcdefgh"}); !errors.As(err, &attended) {
		t.Errorf("taken twice: %v", err)
	}
	if err := s.Forget("abcdefgh"); !errors.As(err, &attended) {
		t.Errorf("forgotten while it is attended: %v", err)
	}
	if err := e.Remove(); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(filepath.Join(dir, "sessions"))
	for _, f := range left {
		if f.Name() != ".lock" {
			t.Errorf("left: %s", f.Name())
		}
	}
}

// A record is that of the session that its file names: one that says another ID, which would be
// the name of another file, counts for nothing.
func TestRecordOfAnotherID(t *testing.T) {
	s := Open(t.TempDir())
	e := take(t, s, Record{ID: "abcdefgh", State: Ready})
	defer e.Leave()
	outside := filepath.Join(filepath.Dir(s.Dir()), "outside")
	for name, id := range map[string]string{"qqqqqqqq": "abcdefgh", "rrrrrrrr": "../outside", "ssssssss": ""} {
		text := `{"v":1,"id":"` + id + `","state":"ready"}`
		if err := os.WriteFile(filepath.Join(s.Dir(), name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all := list(t, s); len(all) != 1 || all[0].ID != "abcdefgh" {
		t.Errorf("listed %+v", all)
	}
	if made, err := filepath.Glob(outside + "*"); err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
}

// A process that is killed leaves a record that anyone may take.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holder+"="+dir)
	stdin, _ := cmd.StdinPipe()
	defer stdin.Close()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	s := Open(dir)
	if all := list(t, s); len(all) != 1 || !all[0].Attended || all[0].State != Ready {
		t.Errorf("while it lives: %+v", all)
	}
	var attended *AttendedError
	if _, err := s.Take(Record{ID: "heldheld"}); !errors.As(err, &attended) {
		t.Errorf("taken from a live process: %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if all := list(t, s); len(all) != 1 || all[0].Attended || all[0].State != Unattended {
		t.Errorf("when it is dead: %+v", all)
	}
	e := take(t, s, Record{ID: "heldheld", State: Ready})
	e.Leave()
	if err := s.Forget("heldheld"); err != nil {
		t.Error(err)
	}
	if all := list(t, s); len(all) != 0 {
		t.Errorf("forgotten, and there: %+v", all)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir(), "heldheld*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A process that attends a session of which another has the record is known too, until it
// leaves or is killed.
func TestGuests(t *testing.T) {
	s := Open(t.TempDir())
	e := take(t, s, Record{ID: "abcdefgh", State: Ready, PID: 5})
	g, err := s.Join("abcdefgh", 9)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Join("abcdefgh", 7)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir(), "abcdefgh.8"+guestSuffix), nil, 0o600); err != nil { // was killed
		t.Fatal(err)
	}
	if all := list(t, s); len(all) != 1 || !slices.Equal(all[0].Here, []int{5, 7, 9}) {
		t.Errorf("listed %+v", all)
	}
	other.Leave()
	e.Leave()
	if all := list(t, s); len(all) != 1 || all[0].Attended || !slices.Equal(all[0].Here, []int{9}) {
		t.Errorf("without the first: %+v", all)
	}
	if err := s.Forget("abcdefgh"); err != nil {
		t.Error(err)
	}
	g.Leave()
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("the store is left: %v", err)
	}
}

// Whoever lists, takes and removes at once never sees half a record, and no two have the
// same session.
func TestManyAtOnce(t *testing.T) {
	s := Open(t.TempDir())
	var wg sync.WaitGroup
	var held sync.Mutex
	var taken atomic.Int64
	for range 8 {
		wg.Go(func() {
			for range 20 {
				e, err := s.Take(Record{ID: "sametime", State: Ready, Cluster: "daint"})
				var attended *AttendedError
				if errors.As(err, &attended) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if !held.TryLock() {
					t.Error("two processes attend one session")
				}
				taken.Add(1)
				if all, err := s.List(); err != nil || len(all) != 1 || all[0].Cluster != "daint" || !all[0].Attended {
					t.Errorf("listed %+v, %v", all, err)
				}
				held.Unlock()
				if err := e.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() == 0 {
		t.Error("no process had the session")
	}
}

func TestFind(t *testing.T) {
	all := []Listed{{Record: Record{ID: "abcdefgh"}}, {Record: Record{ID: "abxyzxyz"}}, {Record: Record{ID: "qqqqqqqq"}}}
	for _, c := range []struct{ prefix, want string }{
		{"abcdefgh", "abcdefgh"}, {"q", "qqqqqqqq"}, {"Q", "qqqqqqqq"}, {"abc", "abcdefgh"},
		{"ab", "ab is the beginning of 2 IDs"}, {"zz", "no live session has the ID zz"}, {"", "there are 3 live sessions"},
	} {
		l, err := Find(all, c.prefix)
		got := l.ID
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.prefix, got, c.want)
		}
	}
	if l, err := Find(all[:1], ""); err != nil || l.ID != "abcdefgh" {
		t.Errorf("the only one: %v %v", l, err)
	}
	if _, err := Find(nil, ""); err == nil || err.Error() != "there is no live session" {
		t.Errorf("none: %v", err)
	}
}

func TestTakeEvents(t *testing.T) {
	var r Record
	ends := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	var states, urls []string
	for _, e := range []session.Event{
		{Event: session.EventConnecting, Host: "ela"},
		{Event: session.EventQueued, Job: "1", Reason: "waits", Local: "http://127.0.0.1:8888/q"},
		{Event: session.EventGranted, Job: "2", Node: "nid001001", Ends: &ends, Local: "http://127.0.0.1:8888/g"},
		{Event: session.EventConnecting, Host: "nid001001"},
		{Event: session.EventReady, URL: "http://127.0.0.1:8888/", LocalPort: 8888},
		{Event: session.EventWarning, Message: "of something else"},
		{Event: session.EventLost, Host: "ela"},
		{Event: session.EventConnecting, Host: "ela"},
		{Event: session.EventRestored, Host: "ela"},
		{Event: session.EventEnding, Reason: "interrupted"},
		{Event: session.EventEnded},
	} {
		r.Take(e)
		states = append(states, r.State)
		urls = append(urls, strings.TrimPrefix(r.URL, "http://127.0.0.1:8888/"))
	}
	if want := []string{"", "q", "g", "g", "", "", "", "", "", "", ""}; !slices.Equal(urls, want) {
		t.Errorf("addresses %q", urls)
	}
	want := strings.Fields("connecting queued starting starting ready ready lost lost ready ending ending")
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if r.Step {
		t.Error("its node is reached by a step of the job")
	}
	if !r.Take(session.Event{Event: session.EventWarning, Step: true}) || !r.Step {
		t.Errorf("its node is not reached by a step of the job: %+v", r)
	}
	if r.Job != "2" || r.Node != "nid001001" || r.LocalPort != 8888 || !r.Ends.Equal(ends) {
		t.Errorf("record %+v", r)
	}
}

func TestOver(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	for _, c := range []struct {
		name string
		r    Record
		want bool
	}{
		{"queued when it was seen last", Record{Seen: now.Add(-100 * time.Hour), Lease: 60}, false},
		{"within its lease", Record{Seen: now.Add(-2 * time.Minute), Lease: 60, Ends: at(time.Hour)}, false},
		{"after its lease", Record{Seen: now.Add(-3 * time.Minute), Lease: 60, Ends: at(time.Hour)}, true},
		{"no lease", Record{Seen: now.Add(-3 * time.Hour), Ends: at(time.Hour)}, false},
		{"after its time limit", Record{Seen: now.Add(-3 * time.Hour), Ends: at(-time.Second)}, true},
		{"after its time limit, within its lease", Record{Seen: now, Lease: 3600, Ends: at(-time.Second)}, true},
	} {
		if got := c.r.Over(now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// attending stands for the process of a session.
type attending struct{ asked chan string }

func (a attending) Enter() (string, []string) {
	return "http://127.0.0.1:8888/lab", []string{"cscs=secret; HttpOnly"}
}

func (a attending) Link() string { return "http://127.0.0.1:8888/?token=secret" }
func (a attending) Stop()        { a.asked <- "stop" }
func (a attending) Detach()      { a.asked <- "detach" }

func TestControl(t *testing.T) {
	for name, dir := range map[string]string{"short": t.TempDir(), "long": filepath.Join(t.TempDir(), strings.Repeat("long", 40))} {
		t.Run(name, func(t *testing.T) {
			a := attending{make(chan string, 1)}
			e := take(t, Open(dir), Record{ID: "abcdefgh"})
			c, err := e.Serve(a)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(c.Path()); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("the socket: %v %v", info, err)
			}
			p := Reach(Record{Control: c.Path()})
			if url, cookies, err := p.Enter(t.Context()); err != nil || url != "http://127.0.0.1:8888/lab" || len(cookies) != 1 || cookies[0] != "cscs=secret; HttpOnly" {
				t.Errorf("the way of a browser: %q %q %v", url, cookies, err)
			}
			if link, err := p.Link(t.Context()); err != nil || link != a.Link() {
				t.Errorf("link %q, %v", link, err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				if asked := <-a.asked; asked != "stop" {
					t.Errorf("asked for %s", asked)
				}
				c.Close(Outcome{Code: 6, Reason: "a job may be left"})
			})
			if o, err := p.Stop(t.Context()); err != nil || o.Code != 6 || o.Reason != "a job may be left" {
				t.Errorf("stop: %+v, %v", o, err)
			}
			wg.Wait()
			var gone *GoneError
			if _, err := p.Link(t.Context()); !errors.As(err, &gone) {
				t.Errorf("after the end: %v", err)
			}
			if err := e.Remove(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(c.Path()); !os.IsNotExist(err) {
				t.Errorf("the socket is left: %v", err)
			}
		})
	}
}

// A process that dies while it ends the session is told as that, and one that never
// ends does not hold the other for longer than it wants to wait.
func TestControlOfNobody(t *testing.T) {
	dir := t.TempDir()
	a := attending{make(chan string, 1)}
	c, err := Serve(dir, "abcdefgh", a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		<-a.asked
		cancel()
	})
	if _, err := Reach(Record{Control: c.Path()}).Detach(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("detach: %v", err)
	}
	wg.Wait()
	c.Close(Outcome{})
	var gone *GoneError
	if _, err := Reach(Record{}).Link(t.Context()); !errors.As(err, &gone) {
		t.Errorf("no socket: %v", err)
	}
	if err := os.Remove(c.Path()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Path(), bytes.Repeat([]byte("x"), 3), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Reach(Record{Control: c.Path()}).Link(t.Context()); !errors.As(err, &gone) {
		t.Errorf("no process: %v", err)
	}
	// What a killed process has left is no obstacle.
	again, err := Serve(dir, "abcdefgh", a)
	if err != nil {
		t.Fatal(err)
	}
	again.Close(Outcome{})
}

// A process that is stopped takes connections by the kernel, and answers none of them; or it
// is stopped when it had begun to.
func TestControlOfAStoppedProcess(t *testing.T) {
	for name, began := range map[string]string{"at once": "", "later": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n  "} {
		t.Run(name, func(t *testing.T) {
			path, err := socketPath(t.TempDir(), "abcdefgh")
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			defer wg.Wait()
			defer l.Close()
			wg.Go(func() {
				for began != "" {
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					_, _ = http.ReadRequest(bufio.NewReader(c))
					_, _ = io.WriteString(c, began)
				}
			})
			p := Reach(Record{ID: "abcdefgh", PID: 7, Control: path})
			p.timeout = 200 * time.Millisecond
			ask := map[string]func() error{
				"stop":   func() error { _, err := p.Stop(t.Context()); return err },
				"detach": func() error { _, err := p.Detach(t.Context()); return err },
				"open":   func() error { _, err := p.Link(t.Context()); return err },
			}
			for what, f := range ask {
				var silent *SilentError
				if err := f(); !errors.As(err, &silent) || silent.PID != 7 || silent.ID != "abcdefgh" {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

// A process that takes its time, and says so, is waited for.
func TestControlOfASlowProcess(t *testing.T) {
	a := attending{make(chan string, 1)}
	c, err := Serve(t.TempDir(), "abcdefgh", a)
	if err != nil {
		t.Fatal(err)
	}
	p := Reach(Record{Control: c.Path()})
	p.timeout = 3 * heartbeatInterval / 2
	var wg sync.WaitGroup
	wg.Go(func() {
		<-a.asked
		waittest.SpendRealTime(3 * heartbeatInterval) // the time that it takes
		c.Close(Outcome{Reason: "stopped"})
	})
	if o, err := p.Stop(t.Context()); err != nil || o.Reason != "stopped" {
		t.Errorf("stop: %+v, %v", o, err)
	}
	wg.Wait()
}
