package chain

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// A cutLine is a line on which new connections fail while it is cut.
type cutLine struct {
	cut         atomic.Bool
	slow        time.Duration // how long one takes
	tried, open atomic.Int32
}

func (l *cutLine) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	l.tried.Add(1)
	if l.cut.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := pause(ctx, l.slow); err != nil {
		return nil, err
	}
	l.open.Add(1)
	near, far := net.Pipe()
	go func() { _, _ = far.Read(make([]byte, 1)); _ = far.Close(); l.open.Add(-1) }()
	return near, nil
}

// tellings counts the calls of Options.Silence.
type tellings struct{ silent, heard atomic.Int32 }

func (s *tellings) told(_ string, silent bool) {
	if silent {
		s.silent.Add(1)
	} else {
		s.heard.Add(1)
	}
}

func sleep(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // of the bubble's time

// pause lets d pass in a bubble. It returns the error of ctx if that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// askLater runs something that is not answered while the link is mute.
func (b *bubble) askLater() chan error {
	ran := make(chan error, 1)
	go func() { ran <- b.chain.Exec(context.Background(), "echo", nil, nil, nil) }()
	return ran
}

func always() bool { return true }

// TestReturn: after a cut, the chain reports the silence of its first hop as soon as new connections open again.
func TestReturn(t *testing.T) {
	for name, first := range map[string]time.Duration{"while it is used": 25 * time.Second, "idle": 29 * time.Second} {
		t.Run(name, func(t *testing.T) {
			var line cutLine
			var s tellings
			inBubble(t, Options{Redials: always, NetDial: line.dial, Silence: s.told}, func(t *testing.T, b *bubble) {
				sleep(first)
				b.near.Freeze()
				line.cut.Store(true)
				var ran chan error
				if name == "idle" {
					sleep(time.Second) // its keepalive is due
				} else {
					ran = b.askLater()
				}
				sleep(4 * time.Second)
				if n := line.tried.Load(); n < 4 || n > 10 || s.silent.Load() != 0 {
					t.Errorf("in the cut: tried %d times, told %d times", n, s.silent.Load())
				}
				line.cut.Store(false)
				sleep(minAnswerTimeout + returnGrace + time.Millisecond)
				if s.silent.Load() != 1 || s.heard.Load() != 0 {
					t.Errorf("soon after: told %d and %d times", s.silent.Load(), s.heard.Load())
				}
				tried := line.tried.Load()
				b.near.Thaw()
				if ran != nil {
					if err := <-ran; err != nil {
						t.Error(err)
					}
				}
				sleep(time.Minute)
				if s.silent.Load() != 1 || s.heard.Load() != 1 || line.tried.Load() != tried || line.open.Load() != 0 {
					t.Errorf("in the end: told %d and %d times, tried %d times more, %d open", s.silent.Load(), s.heard.Load(), line.tried.Load()-tried, line.open.Load())
				}
			})
		})
	}
}

// TestReturnOfFarSide: both sides send lost data again, each at its own times. What the far side has sent arrives, and
// this side's data does not for as long again. The chain reports the silence as soon as before.
func TestReturnOfFarSide(t *testing.T) {
	var line cutLine
	var s tellings
	inBubble(t, Options{Redials: always, NetDial: line.dial, Silence: s.told}, func(t *testing.T, b *bubble) {
		sleep(25 * time.Second)
		slept := make(chan error, 1)
		go func() { slept <- b.chain.Exec(context.Background(), "sleep 1s", nil, nil, nil) }()
		synctest.Wait()
		b.near.Freeze()
		line.cut.Store(true)
		ran := b.askLater()
		sleep(3200 * time.Millisecond)
		line.cut.Store(false)
		b.near.ThawReads()
		if err := <-slept; err != nil {
			t.Error(err)
		}
		sleep(minAnswerTimeout + returnGrace + time.Millisecond)
		if s.silent.Load() != 1 || line.open.Load() != 0 {
			t.Errorf("told %d times, %d open", s.silent.Load(), line.open.Load())
		}
		b.near.Thaw()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		sleep(time.Second)
		if s.silent.Load() != 1 || s.heard.Load() != 1 {
			t.Errorf("in the end: told %d and %d times", s.silent.Load(), s.heard.Load())
		}
	})
}

// TestReturnWithDownload: after a cut a download goes on, and the answer waits behind its data. That costs no login; an
// answer that takes longer does.
func TestReturnWithDownload(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		told  int32
	}{"soon": {600 * time.Millisecond, 0}, "later": {2 * time.Second, 1}} {
		t.Run(name, func(t *testing.T) {
			var line cutLine
			var s tellings
			inBubble(t, Options{Redials: always, NetDial: line.dial, Silence: s.told}, func(t *testing.T, b *bubble) {
				sleep(25 * time.Second)
				flowed := make(chan error, 1)
				go func() { flowed <- b.chain.Exec(context.Background(), "flow 10s", nil, nil, nil) }()
				synctest.Wait()
				b.near.Freeze()
				line.cut.Store(true)
				ran := b.askLater()
				sleep(2 * time.Second)
				line.cut.Store(false)
				b.near.ThawReads()
				sleep(c.after)
				b.near.Thaw()
				if err := cmp.Or(<-ran, <-flowed); err != nil {
					t.Error(err)
				}
				if s.silent.Load() != c.told {
					t.Errorf("told %d times", s.silent.Load())
				}
			})
		})
	}
}

// TestReturnOfLostAnswer: the request has arrived, and the cut begins before its whole answer. Nothing is written in the cut.
func TestReturnOfLostAnswer(t *testing.T) {
	var line cutLine
	var s tellings
	inBubble(t, Options{Redials: always, NetDial: line.dial, Silence: s.told}, func(t *testing.T, b *bubble) {
		sleep(25 * time.Second)
		answered := make(chan error, 1)
		go func() { answered <- b.chain.Exec(context.Background(), "sleep 100ms", nil, nil, nil) }()
		sleep(50 * time.Millisecond)
		b.near.Freeze()
		line.cut.Store(true)
		sleep(2 * time.Second)
		if n := line.tried.Load(); n < 2 || s.silent.Load() != 0 {
			t.Errorf("in the cut: tried %d times, told %d times", n, s.silent.Load())
		}
		line.cut.Store(false)
		sleep(minAnswerTimeout + returnGrace + time.Millisecond)
		if s.silent.Load() != 1 {
			t.Errorf("soon after: told %d times", s.silent.Load())
		}
		b.near.Thaw()
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
}

// TestPauseIsAskedOnce: after some traffic the link is asked once, and then as seldom as an idle one.
func TestPauseIsAskedOnce(t *testing.T) {
	inBubble(t, Options{Redials: always}, func(t *testing.T, b *bubble) {
		for range 10 {
			if err := <-b.askLater(); err != nil {
				t.Fatal(err)
			}
			sleep(minAnswerTimeout / 2)
		}
		if n := b.asked.Load(); n != 0 {
			t.Errorf("asked %d times in the traffic", n)
		}
		sleep(5 * time.Second)
		if n := b.asked.Load(); n != 1 {
			t.Errorf("asked %d times after it", n)
		}
	})
}

// TestNoReturn: what does not show that the network was away and is back, or may not cost a login.
func TestNoReturn(t *testing.T) {
	for name, c := range map[string]*struct {
		line    cutLine
		redials func() bool
		young   bool          // the chain was dialled just before
		asked   bool          // a person may have been asked at the dial
		stalled time.Duration // of which the line is cut for
		cut     time.Duration
		tries   int32 // at most
	}{
		"a network that loses packets":   {stalled: 3 * time.Second, tries: 1},
		"both come back at once":         {stalled: 4100 * time.Millisecond, cut: 3900 * time.Millisecond, tries: 9},
		"longer round trips than before": {line: cutLine{slow: 2 * time.Second}, stalled: 2 * time.Second, tries: 4},
		"a short stall":                  {stalled: 750 * time.Millisecond, cut: 750 * time.Millisecond},
		"no other chain is dialled":      {redials: func() bool { return false }, stalled: 9 * time.Second, cut: 4 * time.Second},
		"a session has no say":           {redials: nil, stalled: 9 * time.Second, cut: 4 * time.Second},
		"a chain that is new":            {young: true, stalled: 7 * time.Second, cut: 4 * time.Second},
		"a person was asked":             {asked: true, stalled: 9 * time.Second, cut: 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if c.redials == nil && name != "a session has no say" {
				c.redials = always
			}
			var s tellings
			inBubble(t, Options{Redials: c.redials, NetDial: c.line.dial, Silence: s.told}, func(t *testing.T, b *bubble) {
				b.chain.userInvolved.Store(c.asked)
				sleep(time.Second)
				if !c.young {
					sleep(20500 * time.Millisecond)
				}
				b.near.Freeze()
				c.line.cut.Store(c.cut > 0)
				ran := b.askLater()
				sleep(c.cut)
				c.line.cut.Store(false)
				sleep(c.stalled - c.cut)
				b.near.Thaw()
				if err := <-ran; err != nil {
					t.Error(err)
				}
				sleep(time.Minute)
				if s.silent.Load() != 0 || c.line.tried.Load() > c.tries || c.line.open.Load() != 0 {
					t.Errorf("told %d times, tried %d times, %d open", s.silent.Load(), c.line.tried.Load(), c.line.open.Load())
				}
			})
		})
	}
}

// fromConn is a connection from another address.
type fromConn struct {
	net.Conn
	from net.Addr
}

func (c fromConn) LocalAddr() net.Addr { return c.from }

// TestReturnElsewhere: if this machine has no longer the address of its link, one connection that opens is enough.
func TestReturnElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		ip   net.IP
		told int32
	}{"gone": {net.IPv4(192, 0, 2, 1), 1}, "still there": {net.IPv4(127, 0, 0, 1), 0}} {
		t.Run(name, func(t *testing.T) {
			var line cutLine
			var s tellings
			from := func(conn net.Conn) net.Conn { return fromConn{conn, &net.TCPAddr{IP: c.ip, Port: 50000}} }
			inBubbleOver(t, from, Options{Redials: always, NetDial: line.dial, Silence: s.told}, func(t *testing.T, b *bubble) {
				sleep(25 * time.Second)
				b.near.Freeze()
				ran := b.askLater()
				sleep(2*minAnswerTimeout + returnGrace + time.Millisecond)
				if s.silent.Load() != c.told || line.tried.Load() != 1 {
					t.Errorf("told %d times, tried %d times", s.silent.Load(), line.tried.Load())
				}
				b.near.Thaw()
				if err := <-ran; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestProbesRest: connections that open without a need become rarer, and the chain tries none after it has reported the silence.
func TestProbesRest(t *testing.T) {
	t.Run("stalls that pass", func(t *testing.T) {
		var line cutLine
		inBubble(t, Options{Redials: always, NetDial: line.dial}, func(t *testing.T, b *bubble) {
			stall := func(times int, apart time.Duration) int {
				before := line.tried.Load()
				for range times {
					sleep(apart)
					b.near.Freeze()
					ran := b.askLater()
					sleep(2 * time.Second)
					b.near.Thaw()
					if err := <-ran; err != nil {
						t.Fatal(err)
					}
				}
				return int(line.tried.Load() - before)
			}
			if n := stall(15, 40*time.Second); n < 3 || n > 6 {
				t.Errorf("tried %d times in 15 stalls", n)
			}
			// One can be the end of an outage, and an outage can follow.
			if n := stall(1, time.Hour) + stall(1, 25*time.Second); n != 2 {
				t.Errorf("tried %d times in two stalls after a calm hour", n)
			}
			if n := stall(1, 25*time.Second); n != 0 {
				t.Errorf("tried %d times in the third", n)
			}
		})
	})
	t.Run("outages too short to be sure", func(t *testing.T) {
		var line cutLine
		var s tellings
		inBubble(t, Options{Redials: always, NetDial: line.dial, Silence: s.told}, func(t *testing.T, b *bubble) {
			for range 3 {
				sleep(25 * time.Second)
				b.near.Freeze()
				line.cut.Store(true)
				ran := b.askLater()
				sleep(5 * minAnswerTimeout / 2) // the first try is lost, the second opens
				line.cut.Store(false)
				sleep(minAnswerTimeout)
				b.near.Thaw()
				if err := <-ran; err != nil {
					t.Fatal(err)
				}
			}
			if n := line.tried.Load(); n != 6 || s.silent.Load() != 0 {
				t.Errorf("tried %d times, told %d times", n, s.silent.Load())
			}
		})
	})
	t.Run("a reported silence", func(t *testing.T) {
		var line cutLine
		var s tellings
		inBubble(t, Options{Redials: always, NetDial: line.dial, Silence: s.told}, func(t *testing.T, b *bubble) {
			sleep(25 * time.Second)
			b.near.Freeze()
			line.cut.Store(true)
			ran := b.askLater()
			sleep(20 * time.Second)
			before := line.tried.Load()
			sleep(20 * time.Second)
			if s.silent.Load() != 1 || before == 0 || line.tried.Load() != before {
				t.Errorf("told %d times, tried %d times before and %d times after", s.silent.Load(), before, line.tried.Load()-before)
			}
			b.near.Thaw()
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
	})
}

// TestStallIsNoRoundTrip: after outages that the link has outlived, and a dial in one, a return is reported as soon as before.
func TestStallIsNoRoundTrip(t *testing.T) {
	var line cutLine
	var s tellings
	inBubble(t, Options{Redials: always, NetDial: line.dial, Silence: s.told}, func(t *testing.T, b *bubble) {
		outage := func(d time.Duration) chan error {
			for range 25 { // it is used, so no keepalive is due
				sleep(time.Second)
				if err := <-b.askLater(); err != nil {
					t.Fatal(err)
				}
			}
			b.near.Freeze()
			line.cut.Store(true)
			ran := b.askLater()
			sleep(d)
			return ran
		}
		for range 3 {
			ran := outage(3 * time.Second)
			b.near.Thaw() // both come back at once
			line.cut.Store(false)
			if err := <-ran; err != nil {
				t.Fatal(err)
			}
		}
		ran := outage(2 * time.Second)
		line.cut.Store(false)
		sleep(minAnswerTimeout + returnGrace + time.Millisecond)
		if s.silent.Load() != 1 {
			t.Errorf("told %d times", s.silent.Load())
		}
		b.near.Thaw()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
}

// TestSlowLine: a line whose round trips have become longer than a write's patience is asked, and tried, no more often.
func TestSlowLine(t *testing.T) {
	for _, trip := range []time.Duration{600 * time.Millisecond, 1200 * time.Millisecond} {
		for name, slow := range map[string]time.Duration{"line": trip, "sshd": 20 * time.Millisecond} {
			t.Run(fmt.Sprint(name, trip), func(t *testing.T) {
				line := cutLine{slow: slow}
				delay := new(delayConn)
				over := func(conn net.Conn) net.Conn { delay.Conn = conn; return delay }
				inBubbleOver(t, over, Options{Redials: always, NetDial: line.dial}, func(t *testing.T, b *bubble) {
					delay.by.Store(int64(trip))
					sleep(10 * time.Minute)
					if b.asked.Load() > 65 || line.tried.Load() > 3 {
						t.Errorf("asked %d times and tried %d times in ten idle minutes", b.asked.Load(), line.tried.Load())
					}
					delay.by.Store(0)
				})
			})
		}
	}
}

// delayConn hands on later what comes in.
type delayConn struct {
	net.Conn
	by atomic.Int64
}

func (c *delayConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	sleep(time.Duration(c.by.Load()))
	return n, err
}

// TestAttended: of which chains a person may have been asked when they were dialled.
func TestAttended(t *testing.T) {
	for _, asks := range []int{-1, 0, 1} { // the hop at which it takes as long as a person takes; -1: none
		synctest.Test(t, func(t *testing.T) {
			key := sshtest.NewKey(t)
			keys := []ssh.PublicKey{key.PublicKey()}
			login := sshtest.New(t, sshtest.Config{Keys: keys})
			connect := inMemory(t, login)
			jump := sshtest.New(t, sshtest.Config{Keys: keys, Dial: func(network, addr string) (net.Conn, error) {
				return connect(t.Context(), network, addr)
			}})
			var hops []Hop
			for i, s := range []*sshtest.Server{jump, login} {
				hop := Hop{Name: fmt.Sprint("hop", i), Addr: fmt.Sprintf("hop%d:22", i), User: "alice", Signer: key, HostKeys: PinnedKeys(s.HostKey())}
				if i == asks {
					hop.HostKeys = asking{hop.HostKeys}
				}
				hops = append(hops, hop)
			}
			c, err := Dial(t.Context(), hops, Options{NetDial: inMemory(t, jump)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := c.userInvolved.Load(); got != (asks >= 0) {
				t.Errorf("asked at hop %d: a person may have been asked: %v", asks, got)
			}
		})
	}
}

// asking is HostKeys that take as long as a person takes.
type asking struct{ HostKeys }

func (a asking) Check(ctx context.Context, host string, remote net.Addr, key ssh.PublicKey) error {
	sleep(minUserTime + 100*time.Millisecond)
	return a.HostKeys.Check(ctx, host, remote, key)
}
