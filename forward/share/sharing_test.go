//go:build linux || darwin

package share

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// later dials in a goroutine.
func (s *site) later(t *testing.T, dial DialFunc) <-chan *Chain {
	t.Helper()
	result := make(chan *Chain, 1)
	go func() {
		c, err := Dial(t.Context(), s.place, chain.Options{}, dial)
		if err != nil {
			c = nil
		}
		result <- c
	}()
	return result
}

// dialling is later whose dial takes until answer is called, and has begun.
func (s *site) dialling(t *testing.T) (result <-chan *Chain, answer func()) {
	t.Helper()
	begun, answered := make(chan struct{}), make(chan struct{})
	result = s.later(t, func(ctx context.Context, opts chain.Options) (*chain.Chain, error) {
		close(begun)
		<-answered
		return s.dialSite(ctx, opts)
	})
	<-begun
	return result, func() { close(answered) }
}

// waiting waits until n processes wait for the one that dials.
func (s *site) waiting(t *testing.T, o *sharingProcess, n int) {
	t.Helper()
	eventually(t, "somebody waits", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.clients) == n
	})
}

// TestSharingProcessAsks: no process waits for a person at another terminal.
func TestSharingProcessAsks(t *testing.T) {
	s := newSite(t, nil)
	dialling, answered := make(chan func(), 1), make(chan struct{})
	first := s.later(t, func(ctx context.Context, opts chain.Options) (*chain.Chain, error) {
		dialling <- opts.Asking
		<-answered
		return s.dialSite(ctx, opts)
	})
	ask := <-dialling
	second := s.later(t, s.dialSite) // waits already, or comes later
	ask()
	c := waittest.Receive(t, patience, "the second", second)
	if !errors.Is(c.Alone(), errAsking) {
		t.Errorf("alone: %v", c.Alone())
	}
	third := s.share(t, chain.Options{})
	if !errors.Is(third.Alone(), errAsking) {
		t.Errorf("alone: %v", third.Alone())
	}
	close(answered)
	owner := waittest.Receive(t, patience, "the first", first)
	if fourth := s.share(t, chain.Options{}); !fourth.Joined() {
		t.Errorf("alone: %v", fourth.Alone())
	}
	_ = c.Close()
	_ = owner.Close()
}

// TestSharingProcessFails: those who have waited for it try by themselves, one after the other.
func TestSharingProcessFails(t *testing.T) {
	s := newSite(t, nil)
	o, err := func() (*sharingProcess, error) {
		if err := s.place.prepareDir(); err != nil {
			return nil, err
		}
		return claimRendezvous(s.place)
	}()
	if err != nil {
		t.Fatal(err)
	}
	var results []<-chan *Chain
	for range 5 {
		results = append(results, s.later(t, s.dialSite))
	}
	s.waiting(t, o, 5)
	o.setDialResult(nil)
	o.tasks.Wait()
	owners := 0
	for _, result := range results {
		c := waittest.Receive(t, patience, "those who waited", result)
		if !c.Joined() {
			owners++
		}
		defer c.Close()
		if c.Alone() != nil {
			t.Errorf("alone: %v", c.Alone())
		}
	}
	if n := s.dials.Load(); owners != 1 || n != 1 {
		t.Errorf("%d owners, %d dials", owners, n)
	}
}

// TestImpatient: a dial that takes too long is not waited for, nor is one whose end ctx does not await.
func TestImpatient(t *testing.T) {
	s := newSite(t, nil)
	first, answer := s.dialling(t)
	ctrlC := errors.New("ctrl-c")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(ctrlC) })
	if _, err := Dial(ctx, s.place, chain.Options{}, s.dialSite); !errors.Is(err, ctrlC) {
		t.Error(err)
	}
	s.place.Wait = 50 * time.Millisecond
	if c := s.share(t, chain.Options{}); !errors.Is(c.Alone(), errWaitTimeout) {
		t.Errorf("alone: %v", c.Alone())
	}
	answer()
	_ = waittest.Receive(t, patience, "the first", first).Close()
}

// TestLongDial: an owner that dials for long says so again and again, and is waited for.
func TestLongDial(t *testing.T) {
	s := newSite(t, nil)
	first, answer := s.dialling(t)
	time.AfterFunc(stuckTimeout+2*signInterval, answer)
	if c := s.share(t, chain.Options{}); !c.Joined() {
		t.Errorf("alone: %v", c.Alone())
	}
	_ = waittest.Receive(t, patience, "the first", first)
}

// TestStoppedWhileItDials: an owner may be stopped at any moment, also after it has let
// somebody wait for it.
func TestStoppedWhileItDials(t *testing.T) {
	s := newSite(t, nil)
	if err := s.place.prepareDir(); err != nil {
		t.Fatal(err)
	}
	held, err := s.place.lockAndListen()
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	defer held.release()
	serving.Go(func() {
		conn, err := held.listener.AcceptUnix()
		if err != nil {
			t.Error(err)
			return
		}
		sock := newSocket(conn)
		defer sock.Close()
		_, _, reqs, err := sock.acceptSSH()
		if err != nil {
			t.Error(err)
			return
		}
		req := <-reqs
		_ = req.Reply(false, ssh.Marshal(verdictMessage{verdictWait}))
		<-reqs // and is stopped
		for range reqs {
			t.Error("it is asked once more")
		}
	})
	began := time.Now()
	c := s.share(t, chain.Options{})
	if took := time.Since(began); !errors.Is(c.Alone(), errStuck) || took > 5*stuckTimeout {
		t.Errorf("alone: %v, after %v", c.Alone(), took)
	}
}

// TestDialFails: the error of a dial is its caller's, whose place is free then.
func TestDialFails(t *testing.T) {
	s := newSite(t, nil)
	broken := errors.New("broken")
	for range 2 {
		_, err := Dial(t.Context(), s.place, chain.Options{}, func(context.Context, chain.Options) (*chain.Chain, error) {
			return nil, broken
		})
		if !errors.Is(err, broken) {
			t.Error(err)
		}
	}
	s.pair(t)
}

// TestStale: what a killed owner leaves behind is a socket on which nobody listens.
func TestStale(t *testing.T) {
	s := newSite(t, nil)
	if err := s.place.prepareDir(); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.place.socketPath(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	s.pair(t)
	info, err := os.Stat(s.place.socketPath())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestGuest: who ends soon joins, and serves nobody.
func TestGuest(t *testing.T) {
	s := newSite(t, nil)
	guest := &site{hops: s.hops, place: s.place}
	guest.place.ClientOnly = true
	if c := guest.share(t, chain.Options{}); !errors.Is(c.Alone(), errClientOnly) {
		t.Errorf("alone: %v", c.Alone())
	}
	if c := s.share(t, chain.Options{}); c.Joined() || c.Alone() != nil {
		t.Errorf("joined: %v, alone: %v", c.Joined(), c.Alone())
	}
	if c := guest.share(t, chain.Options{}); !c.Joined() {
		t.Errorf("alone: %v", c.Alone())
	}
}

// TestSilentMeanwhile: a hop that is silent while the next is dialled, and then heard of, is as good as any.
func TestSilentMeanwhile(t *testing.T) {
	s := newSite(t, nil)
	c, err := Dial(t.Context(), s.place, chain.Options{}, func(ctx context.Context, opts chain.Options) (*chain.Chain, error) {
		observe := opts.Observe
		opts.Observe = func(hop string, connected bool) {
			observe(hop, connected)
			if hop == "daint" && !connected {
				opts.Silence("ela", true)
				opts.Silence("ela", false)
			}
		}
		return s.dialSite(ctx, opts)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c := s.share(t, chain.Options{}); !c.Joined() {
		t.Errorf("alone: %v", c.Alone())
	}
}

// TestKeys: ways that differ are not shared.
func TestKeys(t *testing.T) {
	s := newSite(t, nil)
	s.share(t, chain.Options{})
	s.place.Key = []string{"bob", "daint"}
	if c := s.share(t, chain.Options{}); c.Joined() {
		t.Error("joined another's way")
	}
	one, other := s.place, s.place
	one.Key, other.Key = []string{"ab", "c"}, []string{"a", "bc"}
	if one.basePath() == other.basePath() {
		t.Error("the parts of a key run together")
	}
}

// TestVersion: who speaks differently dials alone, from whichever side it is seen.
func TestVersion(t *testing.T) {
	s := newSite(t, nil)
	s.share(t, chain.Options{})
	conn, err := net.Dial("unix", s.place.socketPath())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sc, chans, reqs, err := ssh.NewControlClientConn(newSocket(conn.(*net.UnixConn)))
	if err != nil {
		t.Fatal(err)
	}
	defer discardConn(sc, chans, reqs)
	ok, reply, err := sc.SendRequest(joinRequest, true, ssh.Marshal(joinMessage{protocolVersion + 1}))
	var m verdictMessage
	if err != nil || ok || ssh.Unmarshal(reply, &m) != nil || m.Verdict != verdictVersion {
		t.Errorf("%v, %q, %v", ok, reply, err)
	}
	// It was not let in, and can open nothing.
	if _, _, err := sc.OpenChannel("session", nil); !errors.As(err, new(*ssh.OpenChannelError)) {
		t.Error(err)
	}

	for _, answer := range []string{"gibberish that is no greeting of ours, and goes on for a while", ""} {
		s.place.Key = append(s.place.Key, "x")
		held, err := s.place.lockAndListen()
		if err != nil {
			t.Fatal(err)
		}
		var serving sync.WaitGroup
		serving.Go(func() {
			for {
				conn, err := held.listener.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, answer)
				_ = conn.Close()
			}
		})
		if c := s.share(t, chain.Options{}); !errors.Is(c.Alone(), errStuck) {
			t.Errorf("alone: %v", c.Alone())
		}
		held.release()
		serving.Wait()
	}
}

func discardConn(sc ssh.Conn, chans <-chan ssh.NewChannel, reqs <-chan *ssh.Request) {
	_ = sc.Close()
	ssh.DiscardRequests(reqs)
	for range chans {
		continue
	}
}

// TestClose: an owner that ends without a word is lost, and its place is free.
func TestClose(t *testing.T) {
	s := newSite(t, nil)
	owner, sharer := s.pair(t)
	if err := owner.Close(); err != nil {
		t.Error(err)
	}
	waittest.Receive(t, patience, "the sharer's end", sharer.Done())
	var lost *chain.LostError
	if !errors.As(sharer.Err(), &lost) || lost.Hop != "daint" || lost.Err.Error() != errSharingProcessEnded.Error() {
		t.Error(sharer.Err())
	}
	if !errors.Is(owner.Err(), net.ErrClosed) {
		t.Error(owner.Err())
	}
	s.pair(t)
}

// TestLeave: an owner that leaves waits for those who have something open, and no longer than
// it is given.
func TestLeave(t *testing.T) {
	s := newSite(t, nil)
	owner, sharer := s.pair(t)
	if n := owner.Sharers(); n != 1 {
		t.Errorf("%d sharers", n)
	}
	stdin, keep := io.Pipe()
	ran := make(chan error, 1)
	go func() { ran <- sharer.Exec(t.Context(), "cat", stdin, io.Discard, nil) }()
	if _, err := keep.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if n := owner.Leave(ctx); n != 1 {
		t.Errorf("%d left", n)
	}
	waittest.Receive(t, patience, "the news", sharer.Leaving())
	next, other := s.pair(t) // the place is free

	left := make(chan int, 1)
	go func() { left <- owner.Leave(t.Context()) }()
	sharer.Retire()
	if err := roundTrip(t.Context(), sharer, sshtest.ServeTCP(t, echo), pattern(1<<20)); err != nil {
		t.Error(err)
	}
	_ = keep.Close()
	if err := waittest.Receive(t, patience, "cat", ran); err != nil {
		t.Error(err)
	}
	if n := waittest.Receive(t, patience, "Leave", left); n != 0 {
		t.Errorf("%d left", n)
	}
	waittest.Receive(t, patience, "the end of a chain that was retired", sharer.Done())
	if n := other.Leave(t.Context()); n != 0 || next.Err() != nil || other.Err() != nil {
		t.Errorf("%d left, %v, %v", n, next.Err(), other.Err())
	}
}

// TestPause: before a pause, those who can move do; a guest stays, until the owner leaves.
func TestPause(t *testing.T) {
	s := newSite(t, nil)
	owner, sharer := s.pair(t)
	s.place.ClientOnly = true
	guest := s.share(t, chain.Options{})
	s.place.ClientOnly = false
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	owner.Pause(ctx)
	waittest.Receive(t, patience, "the news", sharer.Leaving())
	next, _ := s.pair(t) // the place is free
	sharer.Retire()
	waittest.Receive(t, patience, "the end of a chain that was retired", sharer.Done())
	if err := roundTrip(t.Context(), guest, sshtest.ServeTCP(t, echo), pattern(1<<20)); err != nil {
		t.Error(err)
	}
	select {
	case <-guest.Leaving():
		t.Error("the guest is sent away")
	default:
	}
	owner.Pause(ctx) // once more
	left, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if n := owner.Leave(left); n != 1 {
		t.Errorf("%d left", n)
	}
	waittest.Receive(t, patience, "the news for the guest", guest.Leaving())
	if next.Err() != nil {
		t.Error(next.Err())
	}
}

// TestRetireUnused: who has nothing open is gone at once.
func TestRetireUnused(t *testing.T) {
	owner, sharer := newSite(t, nil).pair(t)
	sharer.Retire()
	if n := owner.Leave(t.Context()); n != 0 {
		t.Errorf("%d left", n)
	}
}

// TestSilence: the silence of a hop is told to all, and the next to dial does not join it.
func TestSilence(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		t.Run(map[bool]string{false: "that passes", true: "and another chain"}[replaced], func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			near, far := sshtest.Pipe()
			var serving sync.WaitGroup
			serving.Go(func() { s.servers[0].Serve(far) })
			defer serving.Wait()
			defer far.Close()
			var mu sync.Mutex
			var told []string
			opts := func(who string) chain.Options {
				return chain.Options{Keepalive: 50 * time.Millisecond, Silence: func(hop string, silent bool) {
					mu.Lock()
					defer mu.Unlock()
					if hop == "ela" {
						told = append(told, who+map[bool]string{true: " silent", false: " heard"}[silent])
					}
				}}
			}
			heard := func(want ...string) func() bool {
				return func() bool {
					mu.Lock()
					defer mu.Unlock()
					return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(told, w) })
				}
			}
			over := opts("owner")
			over.NetDial = func(context.Context, string, string) (net.Conn, error) { return near, nil }
			owner, sharer := s.share(t, over), s.share(t, opts("sharer"))
			if !sharer.Joined() {
				t.Fatal("not joined")
			}
			near.Freeze()
			eventually(t, "silence is told", heard("owner silent", "sharer silent"))
			var next *Chain
			if replaced {
				next = s.share(t, chain.Options{})
				if next.Joined() || next.Alone() != nil {
					t.Errorf("next joined: %v, alone: %v", next.Joined(), next.Alone())
				}
			}
			near.Thaw()
			eventually(t, "its end is told", heard("owner heard", "sharer heard"))
			if err := sharer.Exec(t.Context(), "echo", nil, nil, nil); err != nil {
				t.Error(err)
			}
			last := s.share(t, chain.Options{})
			if !last.Joined() {
				t.Fatalf("alone: %v", last.Alone())
			}
			served := owner
			if replaced {
				served = next
			}
			if n := served.Sharers(); n != map[bool]int{true: 1, false: 2}[replaced] {
				t.Errorf("%d sharers", n)
			}
		})
	}
}

// TestExtensionSilent: what the owner has added to the chain is its own affair.
func TestExtensionSilent(t *testing.T) {
	s := newSite(t, nil)
	owner := s.share(t, chain.Options{})
	owner.sharing.onSilence("nid001001", true)
	if c := s.share(t, chain.Options{}); !c.Joined() {
		t.Errorf("alone: %v", c.Alone())
	}
}

// TestDirectoryRemoved: an owner whose directory was removed (a logout does that with the runtime directory)
// leaves the socket alone that the next owner has made at the same path.
func TestDirectoryRemoved(t *testing.T) {
	s := newSite(t, nil)
	old := s.share(t, chain.Options{})
	if err := os.RemoveAll(s.place.Dir); err != nil {
		t.Fatal(err)
	}
	next := s.share(t, chain.Options{})
	if next.Joined() || next.Alone() != nil {
		t.Fatalf("joined %v, alone: %v", next.Joined(), next.Alone())
	}
	_ = old.Close()
	if c := s.share(t, chain.Options{}); !c.Joined() {
		t.Errorf("alone: %v", c.Alone())
	}
}

// own has a process keep the chain for others, until the test ends.
func (s *site) own(t *testing.T) *Chain {
	t.Helper()
	c, err := Own(t.Context(), s.place, chain.Options{}, s.dialSite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestCallersAreNoUsers: a process that calls and is not let in, as one of another version, uses nothing.
func TestCallersAreNoUsers(t *testing.T) {
	s := newSite(t, nil)
	owner := s.own(t)
	_, _, changed := owner.Users()
	conn, err := net.Dial("unix", s.place.socketPath())
	if err != nil {
		t.Fatal(err)
	}
	s.waiting(t, owner.sharing, 1)
	_ = conn.Close()
	s.waiting(t, owner.sharing, 0)
	select {
	case <-changed:
		t.Error("a process that was not let in counts as one that has used the connection")
	default:
	}
}

// TestOwn: an owner that keeps the chain for others sees who comes and goes, and whether others may join.
// After Shut, its sharer goes on and the next process has a chain of its own.
func TestOwn(t *testing.T) {
	s := newSite(t, nil)
	if s.place.Served() {
		t.Error("served before there is an owner")
	}
	owner := s.own(t)
	if !s.place.Served() {
		t.Error("not served")
	}
	if _, err := Own(t.Context(), s.place, chain.Options{}, s.dialSite); !errors.Is(err, ErrTaken) {
		t.Errorf("a second owner: %v", err)
	}
	next := func(what string, n int, do func()) { // what the owner sees after do
		t.Helper()
		_, _, changed := owner.Users()
		do()
		_ = waittest.Receive(t, patience, what, changed)
		eventually(t, what, func() bool {
			now, _, _ := owner.Users()
			return now == n
		})
	}
	var sharer *Chain
	next("one joins", 1, func() { sharer = s.share(t, chain.Options{}) })
	owner.Shut()
	if _, open, _ := owner.Users(); open || s.place.Served() {
		t.Error("others may join")
	}
	if err := sharer.Exec(t.Context(), "echo", nil, nil, nil); err != nil {
		t.Error(err)
	}
	if c := s.share(t, chain.Options{}); c.Joined() || c.Alone() != nil {
		t.Errorf("the next: joined %v, alone: %v", c.Joined(), c.Alone())
	}
	next("it leaves", 0, func() { _ = sharer.Close() })
}

// TestOwnDirectoryRemoved: an owner whose socket was removed knows that no other process can join.
func TestOwnDirectoryRemoved(t *testing.T) {
	s := newSite(t, nil)
	owner := s.own(t)
	if err := os.RemoveAll(s.place.Dir); err != nil {
		t.Fatal(err)
	}
	if _, open, _ := owner.Users(); open {
		t.Error("others may join")
	}
}

// TestSpare: a sharer gets the session channel that its owner has ready, though the line is dead at the moment.
func TestSpare(t *testing.T) {
	s := newSite(t, nil)
	near, far := sshtest.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() { s.servers[0].Serve(far) })
	defer serving.Wait()
	defer far.Close()
	opts := chain.Options{Keepalive: -1, NetDial: func(context.Context, string, string) (net.Conn, error) { return near, nil }}
	if err := s.place.prepareDir(); err != nil {
		t.Fatal(err)
	}
	o, err := claimRendezvous(s.place)
	if err != nil {
		t.Fatal(err)
	}
	o.spares = make(chan spare, 1) // else it is offered, or is about to be
	owner, err := newSharedDial(s.place, opts, s.dialSite).dialAndShare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	ch, reqs, err := owner.OpenChannel(t.Context(), "session", nil)
	if err != nil {
		t.Fatal(err)
	}
	o.spares <- spare{ch, reqs}
	sharer := s.share(t, chain.Options{})
	near.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, asked, err := sharer.OpenChannel(ctx, "session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(asked)
	near.Thaw()
	_ = got.Close()
}

// TestKeepSpare: one command after the other gets the channel that is ready then.
func TestKeepSpare(t *testing.T) {
	s := newSite(t, nil)
	owner := s.own(t)
	for range 20 { // more than a host allows at a time
		ready := waittest.Receive(t, patience, "a spare", owner.sharing.spares)
		go ssh.DiscardRequests(ready.reqs)
		_ = ready.ch.Close()
	}
	sharer := s.share(t, chain.Options{})
	for range 20 {
		var out bytes.Buffer
		if err := sharer.Exec(t.Context(), "echo hello", nil, &out, nil); err != nil || out.String() != "hello\n" {
			t.Fatalf("%v, %q", err, out.String())
		}
	}
}

// TestFurtherDoesNotProbe: the silence of a further chain has no receiver, so the chain does not look for the network's return.
func TestFurtherDoesNotProbe(t *testing.T) {
	s := newSite(t, nil)
	c := s.share(t, chain.Options{Redials: func() bool { return true }})
	if c.nextDial.opts.Redials != nil {
		t.Error("it looks for the network's return")
	}
}
