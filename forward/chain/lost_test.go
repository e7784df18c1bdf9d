package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// TestLost: whichever host dies, it is named, and whatever runs through it ends
// and says so.
func TestLost(t *testing.T) {
	for i := range 3 {
		w := newWay(t, 3, nil)
		c := dial(t, w.hops, Options{})
		target := sshtest.ServeTCP(t, func(conn net.Conn) { _, _ = conn.Write([]byte("x")); silent(conn) })
		conn, err := c.DialContext(t.Context(), "tcp", target)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		stdin, keepOpen := io.Pipe()
		output, stdout := io.Pipe()
		running := make(chan error, 1)
		go func() { running <- c.Exec(t.Context(), "wait", stdin, stdout, nil) }()
		if _, err := io.ReadFull(output, make([]byte, len("waiting\n"))); err != nil {
			t.Fatal(err)
		}

		w.servers[i].Cut()
		<-c.Done()
		for what, err := range map[string]error{
			"the chain":  c.Err(),
			"a command":  soon(t, "a command", func() error { return <-running }),
			"a read":     func() error { _, err := conn.Read(make([]byte, 1)); return err }(),
			"a write":    func() error { _, err := conn.Write(make([]byte, 1)); return err }(),
			"a dial":     func() error { _, err := c.DialContext(t.Context(), "tcp", target); return err }(),
			"another":    c.Exec(t.Context(), "echo", nil, nil, nil),
			"the longer": func() error { _, err := c.Extend(t.Context(), w.hops[2]); return err }(),
		} {
			var lost *LostError
			if !errors.As(err, &lost) || lost.Hop != w.hops[i].Name {
				t.Errorf("%s died: %s: %T %v", w.hops[i].Name, what, err, err)
			}
			if errors.Is(err, io.EOF) {
				t.Errorf("%s died: %s: %v, which passes for the end of the data", w.hops[i].Name, what, err)
			}
		}
		_ = conn.Close()
		_ = keepOpen.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if lost := (*LostError)(nil); !errors.As(c.Err(), &lost) {
			t.Errorf("after Close: %v", c.Err())
		}
		w.emptied(t)
	}
}

// TestLostWhileAuthenticating: a host that took the key and is not heard of any more has
// refused nobody, if it is the one before it that died.
func TestLostWhileAuthenticating(t *testing.T) {
	var w *way
	w = newWay(t, 2, func(i int, c *sshtest.Config) {
		if i == 1 {
			c.Account = func(string) error {
				w.servers[0].Cut()
				return nil
			}
		}
	})
	_, err := Dial(t.Context(), w.hops, Options{})
	var lost *LostError
	if !errors.As(err, &lost) || lost.Hop != w.hops[0].Name {
		t.Errorf("%T %v", err, err)
	}
	var refused *AuthError
	if errors.As(err, &refused) {
		t.Errorf("a refusal: %v", refused)
	}
	w.emptied(t)
}

func TestClosed(t *testing.T) {
	c := dial(t, newWay(t, 2, nil).hops, Options{})
	if err := c.Err(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if !errors.Is(c.Err(), net.ErrClosed) {
		t.Error(c.Err())
	}
	if err := c.Exec(t.Context(), "echo", nil, nil, nil); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := c.DialContext(t.Context(), "tcp", "localhost:1"); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestLostWithParent(t *testing.T) {
	w := newWay(t, 3, nil)
	short := dial(t, w.hops[:2], Options{})
	long, err := short.Extend(t.Context(), w.hops[2])
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	w.servers[0].Cut()
	<-long.Done()
	if lost := (*LostError)(nil); !errors.As(long.Err(), &lost) || lost.Hop != "ela" {
		t.Error(long.Err())
	}
}

// bubble is a chain to one server over a link in memory, in a synctest bubble.
type bubble struct {
	chain *Chain
	near  *sshtest.Conn
	asked atomic.Int64 // keepalives
}

func inBubble(t *testing.T, opts Options, test func(t *testing.T, b *bubble)) {
	t.Helper()
	inBubbleOver(t, func(c net.Conn) net.Conn { return c }, opts, test)
}

// inBubbleOver is inBubble with what line makes of the link.
func inBubbleOver(t *testing.T, line func(net.Conn) net.Conn, opts Options, test func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		key := sshtest.NewKey(t)
		b := &bubble{}
		s := sshtest.New(t, sshtest.Config{
			Keys: []ssh.PublicKey{key.PublicKey()}, Exec: shell,
			Request: func(r *ssh.Request) {
				if r.Type == "keepalive@openssh.com" && r.WantReply {
					b.asked.Add(1)
				}
				_ = r.Reply(false, nil)
			},
		})
		near, far := sshtest.Pipe()
		var serving sync.WaitGroup
		serving.Go(func() { s.Serve(far) })
		t.Cleanup(func() { _ = far.Close(); serving.Wait() })
		b.near = near
		again, first := opts.NetDial, true
		opts.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if first || again == nil {
				first = false
				return line(near), nil
			}
			return again(ctx, network, addr)
		}
		hop := Hop{Name: "ela", Addr: "ela:22", User: "alice", Signer: key, HostKeys: PinnedKeys(s.HostKey())}
		c, err := Dial(t.Context(), []Hop{hop}, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		b.chain = c
		test(t, b)
	})
}

func TestKeepalive(t *testing.T) {
	t.Run("a healthy link lives", func(t *testing.T) {
		var told atomic.Int64
		inBubble(t, Options{RoundTrip: func(string, time.Duration) { told.Add(1) }}, func(t *testing.T, b *bubble) {
			sleep(time.Hour - time.Second)
			if err := b.chain.Err(); err != nil {
				t.Fatal(err)
			}
			if b.asked.Load() < 250 || b.asked.Load() > 360 {
				t.Errorf("asked %d times in an hour", b.asked.Load())
			}
			if told.Load() != b.asked.Load() {
				t.Errorf("asked %d times, and told how long it took %d times", b.asked.Load(), told.Load())
			}
		})
	})
	t.Run("a silent one is given up", func(t *testing.T) {
		inBubble(t, Options{}, func(t *testing.T, b *bubble) {
			began := time.Now()
			b.near.Freeze()
			<-b.chain.Done()
			took := time.Since(began)
			var lost *LostError
			if !errors.As(b.chain.Err(), &lost) || lost.Hop != "ela" || lost.Silence < 60*time.Second {
				t.Errorf("%#v", b.chain.Err())
			}
			if took < 60*time.Second || took > 76*time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
	t.Run("silence is told, and its end", func(t *testing.T) {
		var silent, heard atomic.Int64
		opts := Options{Silence: func(_ string, is bool) {
			if is {
				silent.Add(1)
			} else {
				heard.Add(1)
			}
		}}
		inBubble(t, opts, func(t *testing.T, b *bubble) {
			b.near.Freeze()
			for _, c := range []struct {
				after         time.Duration
				silent, heard int64
			}{{14 * time.Second, 0, 0}, {2 * time.Second, 1, 0}, {24 * time.Second, 1, 0}} {
				time.Sleep(c.after) //nolint:forbidigo // of the bubble's time
				if silent.Load() != c.silent || heard.Load() != c.heard {
					t.Errorf("%v later: told %d and %d times", c.after, silent.Load(), heard.Load())
				}
			}
			b.near.Thaw()
			time.Sleep(time.Hour) //nolint:forbidigo // of the bubble's time
			if silent.Load() != 1 || heard.Load() != 1 {
				t.Errorf("in the end: told %d and %d times", silent.Load(), heard.Load())
			}
		})
	})
	t.Run("how long an answer took is told", func(t *testing.T) {
		var took atomic.Int64
		inBubble(t, Options{RoundTrip: func(hop string, d time.Duration) {
			if hop != "ela" {
				t.Errorf("of %s", hop)
			}
			took.Store(max(int64(d), took.Load())) // the question that follows a late answer takes no time here
		}}, func(t *testing.T, b *bubble) {
			b.near.Freeze()
			time.Sleep(30 * time.Second) //nolint:forbidigo // of the bubble's time
			b.near.Thaw()
			time.Sleep(5 * time.Second) //nolint:forbidigo // of the bubble's time
			if d := time.Duration(took.Load()); d != 0 {
				t.Errorf("it was asked, answered after a silence of 30 s, and that counts as a latency of %v", d)
			}
			b.near.Freeze()
			time.Sleep(8 * time.Second) //nolint:forbidigo // of the bubble's time
			b.near.Thaw()
			time.Sleep(5 * time.Second) //nolint:forbidigo // of the bubble's time
			if d := time.Duration(took.Load()); d <= 0 || d > 5*time.Second {
				t.Errorf("it was asked, answered soon, and took %v", d)
			}
		})
	})
	t.Run("a pause is endured", func(t *testing.T) {
		inBubble(t, Options{}, func(t *testing.T, b *bubble) {
			for range 5 {
				b.near.Freeze()
				time.Sleep(50 * time.Second) //nolint:forbidigo // of the bubble's time
				b.near.Thaw()
				time.Sleep(50 * time.Second) //nolint:forbidigo // of the bubble's time
			}
			if err := b.chain.Exec(t.Context(), "echo", nil, nil, nil); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("what arrives is a sign of life", func(t *testing.T) {
		inBubble(t, Options{}, func(t *testing.T, b *bubble) {
			stdin, input := io.Pipe()
			output, stdout := io.Pipe()
			ran := make(chan error)
			go func() { ran <- b.chain.Exec(t.Context(), "cat", stdin, stdout, nil) }()
			for range 100 {
				_, _ = input.Write([]byte("x"))
				if _, err := io.ReadFull(output, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(9 * time.Second) //nolint:forbidigo // of the bubble's time
			}
			_ = input.Close()
			if err := <-ran; err != nil {
				t.Error(err)
			}
			if b.asked.Load() > 0 {
				t.Errorf("asked %d times", b.asked.Load())
			}
		})
	})
	t.Run("after a sleep", func(t *testing.T) {
		var slept atomic.Int64 // what the wall clock is ahead of the program's
		opts := Options{wall: func() time.Time { return time.Now().Round(0).Add(time.Duration(slept.Load())) }}
		inBubble(t, opts, func(t *testing.T, b *bubble) {
			time.Sleep(20 * time.Second) //nolint:forbidigo // of the bubble's time
			slept.Add(int64(time.Hour))
			time.Sleep(time.Minute) //nolint:forbidigo // of the bubble's time
			if err := b.chain.Err(); err != nil {
				t.Fatalf("a link that survived: %v", err)
			}
			b.near.Freeze()
			slept.Add(int64(time.Hour))
			began := time.Now()
			<-b.chain.Done()
			if took := time.Since(began); took > 26*time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
	t.Run("asleep while it was asked", func(t *testing.T) {
		var slept atomic.Int64
		opts := Options{wall: func() time.Time { return time.Now().Round(0).Add(time.Duration(slept.Load())) }}
		inBubble(t, opts, func(t *testing.T, b *bubble) {
			b.near.Freeze()
			time.Sleep(14 * time.Second) //nolint:forbidigo // of the bubble's time
			slept.Add(int64(time.Hour))
			began := time.Now()
			<-b.chain.Done()
			if took := time.Since(began); took > 13*time.Second {
				t.Errorf("took %v", took)
			}
		})
	})
	t.Run("never", func(t *testing.T) {
		inBubble(t, Options{Keepalive: -1}, func(t *testing.T, b *bubble) {
			time.Sleep(time.Hour) //nolint:forbidigo // of the bubble's time
			if b.asked.Load() > 0 {
				t.Errorf("asked %d times", b.asked.Load())
			}
		})
	})
}

// TestDeadLink: on a link that has died without a word, what is under way ends
// when its context does, and Close does not wait.
func TestDeadLink(t *testing.T) {
	ctrlC := errors.New("ctrl-c")
	for name, do := range map[string]func(ctx context.Context, c *Chain) error{
		"exec": func(ctx context.Context, c *Chain) error { return c.Exec(ctx, "echo", nil, nil, nil) },
		"dial": func(ctx context.Context, c *Chain) error {
			_, err := c.DialContext(ctx, "tcp", "daint:22")
			return err
		},
		"extend": func(ctx context.Context, c *Chain) error {
			_, err := c.Extend(ctx, Hop{Name: "daint", Addr: "daint:22", Signer: sshtest.NewKey(t), HostKeys: PinnedKeys()})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Options{Keepalive: -1}, func(t *testing.T, b *bubble) {
				b.near.Freeze()
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(10*time.Second, func() { cancel(ctrlC) })
				began := time.Now()
				if err := do(ctx, b.chain); !errors.Is(err, ctrlC) {
					t.Error(err)
				}
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("it took %v", took)
				}
				began = time.Now()
				_ = b.chain.Close()
				if took := time.Since(began); took > 0 {
					t.Errorf("Close took %v", took)
				}
			})
		})
	}
}

func TestLostErrorText(t *testing.T) {
	for want, err := range map[string]error{
		"connection to ela lost: unexpected EOF":     &LostError{Hop: "ela", Err: io.ErrUnexpectedEOF},
		"connection to ela lost: no answer for 1m0s": &LostError{Hop: "ela", Silence: 60*time.Second + 3*time.Millisecond, Err: errNoKeepaliveAnswer},
	} {
		if got := fmt.Sprint(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
