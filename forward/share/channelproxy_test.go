//go:build linux || darwin

package share

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// TestSameAsAlone: whatever a sharer does comes out as it does for the owner.
func TestSameAsAlone(t *testing.T) {
	s := newSite(t, nil)
	owner, sharer := s.pair(t)
	if n := s.dials.Load(); n != 1 {
		t.Errorf("%d dials", n)
	}
	for name, c := range map[string]*Chain{"owner": owner, "sharer": sharer} {
		t.Run(name, func(t *testing.T) {
			for _, tt := range []struct {
				command, stdin, stdout, stderr string
				check                          func(error) bool
			}{
				{"echo hello", "", "hello\n", "", nil},
				{"cat", "some text", "some text", "", nil},
				{"fail oh", "", "", "oh", func(err error) bool {
					var e *ssh.ExitError
					return errors.As(err, &e) && e.ExitStatus() == 3
				}},
				{"vanish", "", "", "", func(err error) bool { return errors.As(err, new(*ssh.ExitMissingError)) }},
			} {
				var out, errOut bytes.Buffer
				err := c.Exec(t.Context(), tt.command, strings.NewReader(tt.stdin), &out, &errOut)
				if tt.check == nil && err != nil || tt.check != nil && !tt.check(err) {
					t.Errorf("%s: error %v", tt.command, err)
				}
				if out.String() != tt.stdout || errOut.String() != tt.stderr {
					t.Errorf("%s: stdout %q, stderr %q", tt.command, &out, &errOut)
				}
			}
			var refused *chain.OpenError
			if _, err := c.DialContext(t.Context(), "tcp", "127.0.0.1:1"); !errors.As(err, &refused) ||
				refused.Hop != "daint" || refused.Reason != "connect failed" {
				t.Errorf("%#v", err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			// One end that closes is closed at the other.
			conn, err := c.DialContext(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			far, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			_ = far.Close()
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("read %v", err)
			}
			eventually(t, "a write fails", func() bool {
				_, err := conn.Write([]byte("x"))
				return errors.Is(err, syscall.EPIPE)
			})
		})
	}
}

// TestBriefCommands: a command that ends at once must not overtake the news that it was started.
func TestBriefCommands(t *testing.T) {
	_, sharer := newSite(t, nil).pair(t)
	var tasks sync.WaitGroup
	for range 4 {
		tasks.Go(func() {
			for range 250 {
				var out bytes.Buffer
				if err := sharer.Exec(t.Context(), "echo hello", nil, &out, nil); err != nil || out.String() != "hello\n" {
					t.Errorf("%q, %v", &out, err)
					return
				}
			}
		})
	}
	tasks.Wait()
}

// TestExtended: a node behind the shared chain is the sharer's own hop.
func TestExtended(t *testing.T) {
	s := newSite(t, nil)
	owner, sharer := s.pair(t)
	key := sshtest.NewKey(t)
	server := sshtest.Start(t, sshtest.Config{Keys: []ssh.PublicKey{key.PublicKey()}, Exec: shell})
	node, err := sharer.Extend(t.Context(), chain.Hop{
		Name: "nid001001", Addr: server.Addr(), User: "alice", Signer: key, HostKeys: chain.PinnedKeys(server.HostKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	if err := roundTrip(t.Context(), node, sshtest.ServeTCP(t, echo), pattern(3<<20)); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := node.Exec(t.Context(), "echo here", nil, &out, nil); err != nil || out.String() != "here\n" {
		t.Errorf("%q, %v", &out, err)
	}
	s.servers[0].Cut()
	for what, c := range map[string]interface {
		Done() <-chan struct{}
		Err() error
	}{"owner": owner, "sharer": sharer, "node": node} {
		waittest.Receive(t, patience, what, c.Done())
		var lost *chain.LostError
		if !errors.As(c.Err(), &lost) || lost.Hop != "ela" {
			t.Errorf("%s: %v", what, c.Err())
		}
	}
}

// TestCut: what was on its way when the connection broke ends in an error, not as if it were whole.
func TestCut(t *testing.T) {
	for i := range 2 {
		s := newSite(t, nil)
		_, sharer := s.pair(t)
		conn, err := sharer.DialContext(t.Context(), "tcp", sshtest.ServeTCP(t, func(c net.Conn) {
			_, _ = c.Write([]byte("half"))
			_, _ = c.Read(make([]byte, 1))
		}))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		output, stdout := io.Pipe()
		ran := make(chan error, 1)
		stdin, keep := io.Pipe()
		defer keep.Close()
		go func() { ran <- sharer.Exec(t.Context(), "wait", stdin, stdout, nil) }()
		if _, err := io.ReadFull(output, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		s.servers[i].Cut()
		read := make(chan error, 1)
		go func() { _, err := conn.Read(make([]byte, 1)); read <- err }()
		for what, err := range map[string]error{
			"read": waittest.Receive(t, patience, "a read", read),
			"exec": waittest.Receive(t, patience, "a command", ran),
			"dial": func() error { _, err := sharer.DialContext(t.Context(), "tcp", "127.0.0.1:1"); return err }(),
		} {
			var lost *chain.LostError
			if !errors.As(err, &lost) || lost.Hop != s.hops[i].Name {
				t.Errorf("%s died: %s: %v", s.hops[i].Name, what, err)
			}
		}
	}
}

func TestManyBytes(t *testing.T) {
	s := newSite(t, nil)
	_, sharer := s.pair(t)
	if err := roundTrip(t.Context(), sharer, sshtest.ServeTCP(t, echo), pattern(50<<20)); err != nil {
		t.Error(err)
	}
}

func TestManyChannels(t *testing.T) {
	s := newSite(t, nil)
	owner, sharer := s.pair(t)
	addr := sshtest.ServeTCP(t, echo)
	var tasks sync.WaitGroup
	for i := range 200 {
		tasks.Go(func() {
			if err := roundTrip(t.Context(), sharer, addr, pattern(60000+i)); err != nil {
				t.Error(err)
			}
		})
	}
	tasks.Wait()
	eventually(t, "no channel is left", func() bool {
		owner.sharing.mu.Lock()
		defer owner.sharing.mu.Unlock()
		for s := range owner.sharing.clients {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.open != 0 {
				return false
			}
		}
		return true
	})
}

// TestBackPressure: a sharer that does not read costs the owner a window, and the
// other channels nothing.
func TestBackPressure(t *testing.T) {
	s := newSite(t, nil)
	_, sharer := s.pair(t)
	output, stdout := io.Pipe()
	defer output.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- sharer.Exec(ctx, "flood", nil, stdout, nil) }()
	if _, err := io.ReadFull(output, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	addr := sshtest.ServeTCP(t, echo)
	if err := roundTrip(t.Context(), sharer, addr, pattern(10<<20)); err != nil { // the windows are full by then
		t.Error(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 3 {
		if err := roundTrip(t.Context(), sharer, addr, pattern(10<<20)); err != nil {
			t.Error(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("grown by %d bytes", grown)
	}
	cancel()
	if err := waittest.Receive(t, patience, "Exec", ran); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// What was cancelled ends at the far end, too.
	eventually(t, "the command has ended", func() bool {
		buf := make([]byte, 1<<20)
		return !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "share.shell")
	})
}

// TestUntakenInput: a command that does not read its input is hung up all the same.
func TestUntakenInput(t *testing.T) {
	hung := make(chan struct{})
	s := newSite(t, func(_ int, c *sshtest.Config) {
		c.Exec = func(_ string, _ io.Reader, stdout, _ io.Writer) int {
			for {
				if _, err := stdout.Write([]byte(".")); err != nil {
					close(hung)
					return 1
				}
				time.Sleep(10 * time.Millisecond) //nolint:forbidigo // a command that ticks
			}
		}
	})
	_, sharer := s.pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	output, stdout := io.Pipe()
	go func() { _, _ = io.Copy(io.Discard, output) }()
	defer stdout.Close()
	input := &counting{r: bytes.NewReader(make([]byte, 20<<20))}
	ran := make(chan error, 1)
	go func() { ran <- sharer.Exec(ctx, "deaf", input, stdout, nil) }()
	eventually(t, "the windows are full", func() bool { return input.read() > 3<<20 })
	cancel()
	if err := waittest.Receive(t, patience, "Exec", ran); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	waittest.Receive(t, patience, "the command is hung up", hung)
}

type counting struct {
	mu sync.Mutex
	n  int
	r  io.Reader
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	return n, err
}

func (c *counting) read() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
