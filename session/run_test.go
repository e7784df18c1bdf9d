package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/waittest"
	"github.com/alps-tunnel/cscs/slurm"
)

func get(t *testing.T, url string) error {
	t.Helper()
	return getWithin(t, url, 20*time.Second)
}

func getWithin(t *testing.T, url string, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", res.Status)
	}
	return nil
}

// nothingLeft checks that the cluster has nothing of the session: no job at once, and soon no file, since a
// command on the login node whose connection was lost clears away by itself.
func (a *alps) nothingLeft() {
	a.t.Helper()
	if jobs := a.Jobs(); len(jobs) > 0 {
		a.t.Errorf("jobs left: %v", jobs)
	}
	dir := filepath.Join(a.Home, ".cscs")
	defer func() {
		if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) > 0 {
			a.t.Logf("files left on the cluster: %v", left)
		}
	}()
	waittest.Until(a.t, 10*time.Second, "no file is left on the cluster", func() bool {
		_, err := os.Lstat(dir)
		return errors.Is(err, fs.ErrNotExist)
	})
}

func TestWholeLife(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	opened := make(chan string, 1)
	cfg.Open = func(_ context.Context, link string) error {
		opened <- link
		return errors.New("no browser here")
	}
	l := a.start(cfg)
	ready := l.await(EventReady)
	if err := get(t, ready.URL); err != nil {
		t.Errorf("through the tunnel: %v", err)
	}
	if link := <-opened; link != ready.Link {
		t.Errorf("opened %q, told %q", link, ready.Link)
	}
	if w := l.await(EventWarning); !strings.Contains(w.Message, "no browser here") {
		t.Errorf("warning %q", w.Message)
	}
	l.endReady()
	// The node is dialled while the server starts: either may be first.
	got := strings.Replace(l.names(), "connecting started connected", "connecting connected started", 1)
	got = strings.Replace(got, "started connecting connected", "connecting connected started", 1)
	want := "connecting connected connecting connected granted connecting connected started ready warning ending ended"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	a.nothingLeft()
	if err := get(t, ready.URL); err == nil {
		t.Error("the local port still answers")
	}
	logs, _ := filepath.Glob(filepath.Join(cfg.LogDir, "*.log"))
	if len(logs) != 1 {
		t.Fatalf("logs %v", logs)
	}
	if text, _ := os.ReadFile(logs[0]); !strings.HasPrefix(string(text), "serving\n") {
		t.Errorf("log %q", text)
	}
}

func TestInterruptWhileQueued(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_QUEUE=1")
	l := a.start(a.config())
	l.await(EventQueued)
	l.interrupt(ErrInterrupted)
	if err := l.end(); !errors.Is(err, ErrInterrupted) {
		t.Errorf("ended with %v", err)
	}
	a.nothingLeft()
}

func TestInterruptWhileGranted(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l := a.start(a.config())
	l.await(EventGranted)
	l.interrupt(ErrInterrupted)
	if err := l.end(); !errors.Is(err, ErrInterrupted) {
		t.Errorf("ended with %v", err)
	}
	a.nothingLeft()
}

func TestInterruptWhileConnecting(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cfg := a.config()
	cfg.Hops[0].Addr = silent.Addr().String()
	l := a.start(cfg)
	l.await(EventConnecting)
	l.interrupt(ErrInterrupted)
	if err := l.end(); !errors.Is(err, ErrInterrupted) {
		t.Errorf("ended with %v", err)
	}
	if a.Calls() != "" {
		t.Errorf("Slurm was asked: %s", a.Calls())
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_REFUSE=salloc: error: Job submit/allocate failed: Invalid partition name specified")
	l := a.start(a.config())
	err := l.end()
	var refused *slurm.RefusedError
	if !errors.As(err, &refused) || refused.Message != "Invalid partition name specified" {
		t.Errorf("ended with %v", err)
	}
	if e := l.await(EventError); !strings.Contains(e.Message, "Invalid partition name") || *e.Code != 1 {
		t.Errorf("error event %+v", e)
	}
	a.nothingLeft()
}

func TestPortBusy(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cfg := a.config()
	cfg.LocalPort = ln.Addr().(*net.TCPAddr).Port
	if err := a.start(cfg).end(); err == nil || !strings.Contains(err.Error(), fmt.Sprint(cfg.LocalPort)) {
		t.Errorf("ended with %v", err)
	}
	if a.ela.Conns() > 0 || a.Calls() != "" {
		t.Error("something was asked of the cluster")
	}

	cfg.LocalPort, cfg.App.LocalPort = 0, cfg.LocalPort
	l := a.start(cfg)
	if w := l.await(EventWarning); !strings.Contains(w.Message, "is in use") {
		t.Errorf("warning %q", w.Message)
	}
	if r := l.await(EventReady); r.LocalPort == cfg.App.LocalPort {
		t.Errorf("ready on the port in use")
	}
}

func TestServerEnds(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	cfg.App.Argv = []string{"sh", "-c", "echo out of luck; exit 3"}
	l := a.start(cfg)
	var failed *slurm.ServerError
	if err := l.end(); !errors.As(err, &failed) || failed.Code != 3 {
		t.Errorf("ended with %v", err)
	}
	if diff := cmp.Diff([]string{"out of luck"}, l.await(EventError).Log); diff != "" {
		t.Errorf("log shown (-want +got):\n%s", diff)
	}
	a.nothingLeft()
}

func TestStartTimeout(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	cfg.App.Argv = []string{"sleep", "1000"}
	cfg.StartTimeout = 500 * time.Millisecond
	l := a.start(cfg)
	var late *StartTimeoutError
	if err := l.end(); !errors.As(err, &late) || late.Node == "" {
		t.Errorf("ended with %v", err)
	}
	a.nothingLeft()
}

func TestQueueTimeout(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_QUEUE=1")
	cfg := a.config()
	cfg.QueueTimeout = 15 * time.Second // the request must have been made by then
	var timeout *slurm.QueueTimeoutError
	if err := a.start(cfg).end(); !errors.As(err, &timeout) || timeout.Job == "" {
		t.Errorf("ended with %v", err)
	}
	a.nothingLeft()
}

// Somebody else cancels the job.
// A server that does not listen where it was told to: the user is told within seconds.
func TestServerAstray(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	cfg.App.Argv = []string{"python3", "-c", webServer, "0", "meek"}
	l := a.start(cfg)
	if w := l.await(EventWarning); !strings.Contains(w.Message, "127.0.0.1:") || !strings.Contains(w.Message, "--port") {
		t.Errorf("warning %q", w.Message)
	}
	l.interrupt(ErrInterrupted)
	if err := l.end(); !errors.Is(err, ErrInterrupted) {
		t.Errorf("ended with %v", err)
	}
	a.nothingLeft()
}

func TestCancelledElsewhere(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l := a.start(a.config())
	l.await(EventReady)
	if err := a.Exec(t.Context(), "scancel 4711", strings.NewReader(""), os.Stderr, os.Stderr); err != nil {
		t.Fatal(err)
	}
	var ended *slurm.JobEndedError
	if err := l.end(); !errors.As(err, &ended) || ended.State != "CANCELLED" {
		t.Errorf("ended with %v", err)
	}
	a.nothingLeft()
}

// A second Ctrl-C ends the grace of a server that does not hear.
func TestHurry(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	cfg.App = server("stubborn")
	l := a.start(cfg)
	l.await(EventReady)
	l.interrupt(ErrInterrupted)
	l.await(EventEnding)
	start := time.Now()
	l.endGrace()
	if err := l.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if d := time.Since(start); d >= stopGrace { // this server never ends within the grace period
		t.Errorf("took %v", d)
	}
	a.nothingLeft()
}

// A third Ctrl-C leaves at once, and says what may be left.
func TestAbandon(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_STUCK=1")
	l := a.start(a.config())
	l.await(EventReady)
	l.interrupt(ErrInterrupted)
	l.await(EventEnding)
	l.endGrace()
	began := time.Now()
	l.abandon()
	var left *TeardownError
	if err := l.end(); !errors.As(err, &left) || left.Job != "4711" {
		t.Fatalf("ended with %v", l.err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if want := "scancel --name=" + slurm.JobName(l.cfg.ID) + " on daint"; left.Command() != want {
		t.Errorf("command %q, not %q", left.Command(), want)
	}
}

// The connection to the login node is lost: the session goes on over a new one, on
// the same local port, with no event lost or repeated.
func TestChainLost(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	cfg.Lease = time.Hour
	l := a.start(cfg)
	ready := l.await(EventReady)
	for range 2 {
		a.ela.Cut()
		l.await(EventLost)
		l.await(EventRestored)
		if err := get(t, ready.URL); err != nil {
			t.Errorf("after the connection came back: %v", err)
		}
	}
	l.endReady()
	if n := strings.Count(l.names(), EventStarted); n != 1 {
		t.Errorf("events repeated: %s", l.names())
	}
	a.nothingLeft()
}

// Our commands on the login node and the node are killed, and neither can run another
// for a while: the job, which does not need it, is not given up.
func TestFollowAgain(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l := a.start(a.config())
	ready := l.await(EventReady)
	a.broken.Store(true)
	if n := a.Kill("bash --noprofile --norc -p -c while IFS= read -r n;"); n == 0 {
		t.Fatal("there is no command of ours")
	}
	l.await(EventWarning)
	waittest.Until(t, 20*time.Second, "another command is tried", func() bool { return a.failedShells.Load() >= 2 })
	a.broken.Store(false)
	if err := get(t, ready.URL); err != nil {
		t.Errorf("when it can again: %v", err)
	}
	l.endReady()
	a.nothingLeft()
}

// The connection is lost while the job waits with salloc: the request is taken back.
func TestChainLostWhileQueued(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_QUEUE=1")
	cfg := a.config()
	cfg.Request.Via = slurm.ViaSalloc
	l := a.start(cfg)
	l.await(EventQueued)
	a.ela.Cut()
	var lost *chain.LostError
	if err := l.end(); !errors.As(err, &lost) {
		t.Errorf("ended with %v", err)
	}
	a.nothingLeft()
}

// crashLogin ends the login node as a crash does: first nothing runs there that could take a request
// back or end a command in order, then its connection is gone.
func (a *alps) crashLogin() {
	a.StopLogin()
	a.login.Cut()
	a.KillLogin()
}

// The login node goes down while the job waits with salloc, and is not back at once.
func TestLoginAwayWhileQueued(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_QUEUE=1")
	cfg := a.config()
	cfg.Request.Via = slurm.ViaSalloc
	l := a.start(cfg)
	l.await(EventQueued)
	a.away.Store(2)
	a.crashLogin()
	var lost *chain.LostError
	if err := l.end(); !errors.As(err, &lost) {
		t.Errorf("ended with %v", err)
	}
	var left *TeardownError
	if errors.As(l.err, &left) {
		t.Errorf("left: %v", left)
	}
	a.nothingLeft()
}

// The chain over which the job is to be ended is lost, too, before it can be.
func TestLostAgainAtTheEnd(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_QUEUE=1")
	cfg := a.config()
	cfg.Request.Via = slurm.ViaSalloc
	plain, dials := cfg, 0
	cfg.Dial = func(ctx context.Context, opts chain.Options) (*share.Chain, error) {
		c, err := plain.dialLogin(ctx, opts)
		if dials++; err == nil && dials == 2 {
			a.ela.Cut()
			<-c.Done()
		}
		return c, err
	}
	l := a.start(cfg)
	l.await(EventQueued)
	a.crashLogin()
	var left *TeardownError
	if err := l.end(); errors.As(err, &left) {
		t.Errorf("left: %v", left)
	}
	if dials != 3 {
		t.Errorf("%d dials", dials)
	}
	a.nothingLeft()
}

// TestEndWaitsForSharers: the end of a session whose connection another process has yet to replace says what it waits for.
func TestEndWaitsForSharers(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	plain, place := cfg, share.Rendezvous{Dir: t.TempDir(), Key: []string{t.Name()}, Host: "daint"}
	cfg.Dial = func(ctx context.Context, opts chain.Options) (*share.Chain, error) {
		return share.Dial(ctx, place, opts, func(ctx context.Context, opts chain.Options) (*chain.Chain, error) {
			c, err := plain.dialLogin(ctx, opts)
			if err != nil {
				return nil, err
			}
			return c.Chain, nil
		})
	}
	l := a.start(cfg)
	l.await(EventReady)
	other, err := cfg.Dial(t.Context(), chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !other.Joined() {
		t.Fatalf("the other is alone: %v", other.Alone())
	}
	l.interrupt(ErrInterrupted)
	l.await(EventEnding)
	l.await(EventWarning)
	_ = other.Close()
	if err := l.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
	a.nothingLeft()
}

// The user ends a session whose connection is lost and does not come back at once.
func TestInterruptWhileLost(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l := a.start(a.config())
	l.await(EventReady)
	a.ela.Cut()
	l.await(EventLost)
	l.endReady()
	a.nothingLeft()
}

// Only the connection to the node goes away: the same URL answers again.
func TestNodeLost(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	l := a.start(a.config())
	ready := l.await(EventReady)
	a.node.Cut()
	l.await(EventLost)
	l.await(EventRestored)
	if err := get(t, ready.URL); err != nil {
		t.Errorf("after the connection came back: %v", err)
	}
	l.endReady()
	a.nothingLeft()
}

// The node lets nobody in for a moment, as pam_slurm_adopt does before it has heard
// of the job.
func TestNodeAdmitsLate(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	tries := 0
	a.refuse = func() error {
		if tries++; tries < 3 {
			return errors.New("Access denied by pam_slurm_adopt: you have no active jobs on this node")
		}
		return nil
	}
	l := a.start(a.config())
	l.await(EventReady)
	if tries != 3 {
		t.Errorf("dialled %d times", tries)
	}
}

// The link, which may hold a secret, is for the terminal alone (invariant I6).
func TestLinkIsNotSerialised(t *testing.T) {
	b, err := jsonOf(Event{Event: EventReady, URL: "http://127.0.0.1:1/", Link: "http://127.0.0.1:1/?token=s3cret", Log: []string{"s3cret"}})
	if err != nil || strings.Contains(b, "s3cret") {
		t.Errorf("%s, %v", b, err)
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID()
		if len(id) != 8 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" || seen[id] {
			t.Fatalf("ID %q", id)
		}
		seen[id] = true
	}
}
