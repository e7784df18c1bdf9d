package chain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// way is a chain of servers and the hops that lead through them.
type way struct {
	servers []*sshtest.Server
	hops    []Hop
}

// newWay starts n servers that let one key in; change alters the i-th before it
// starts.
func newWay(t testing.TB, n int, change func(i int, c *sshtest.Config)) *way {
	t.Helper()
	key := sshtest.NewKey(t)
	w := &way{}
	for i, name := range []string{"ela", "daint", "nid001001", "far"}[:n] {
		config := sshtest.Config{Keys: []ssh.PublicKey{key.PublicKey()}, Exec: shell}
		if change != nil {
			change(i, &config)
		}
		s := sshtest.Start(t, config)
		w.servers = append(w.servers, s)
		w.hops = append(w.hops, Hop{
			Name: name, Addr: s.Addr(), User: "alice", Signer: key, HostKeys: PinnedKeys(s.HostKey()),
		})
	}
	return w
}

// shell knows a few commands.
func shell(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
	switch name, arg, _ := strings.Cut(cmd, " "); name {
	case "echo":
		_, _ = io.WriteString(stdout, arg+"\n")
	case "cat":
		_, _ = io.Copy(stdout, stdin)
	case "wc":
		n, _ := io.Copy(io.Discard, stdin)
		_, _ = io.WriteString(stdout, strings.Repeat("x", int(n)))
	case "fail":
		_, _ = io.WriteString(stderr, arg)
		return 3
	case "vanish":
		return -1
	case "sleep":
		d, _ := time.ParseDuration(arg)
		sleep(d / 4)
		_, _ = io.WriteString(stdout, "a quarter\n")
		sleep(d - d/4)
	case "flow": // like a download, for so long
		d, _ := time.ParseDuration(arg)
		for range d / (50 * time.Millisecond) {
			sleep(50 * time.Millisecond)
			_, _ = io.WriteString(stdout, "data\n")
		}
	case "wait":
		_, _ = io.WriteString(stdout, "waiting\n")
		_, _ = io.Copy(io.Discard, stdin)
	}
	return 0
}

func dial(t testing.TB, hops []Hop, opts Options) *Chain {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := Dial(ctx, hops, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestExec(t *testing.T) {
	c := dial(t, newWay(t, 3, nil).hops, Options{})
	for _, tt := range []struct {
		command, stdin, stdout, stderr string
		check                          func(error) bool
	}{
		{"echo hello", "", "hello\n", "", nil},
		{"cat", "some text", "some text", "", nil},
		{"wc", "", "", "", nil},
		{"fail oh", "", "", "oh", func(err error) bool {
			var e *ssh.ExitError
			return errors.As(err, &e) && e.ExitStatus() == 3
		}},
		{"vanish", "", "", "", func(err error) bool { return errors.As(err, new(*ssh.ExitMissingError)) }},
	} {
		t.Run(tt.command, func(t *testing.T) {
			var stdin io.Reader
			if tt.stdin != "" {
				stdin = strings.NewReader(tt.stdin)
			}
			var out, errOut bytes.Buffer
			err := c.Exec(t.Context(), tt.command, stdin, &out, &errOut)
			if tt.check == nil && err != nil || tt.check != nil && !tt.check(err) {
				t.Errorf("error %v", err)
			}
			if out.String() != tt.stdout || errOut.String() != tt.stderr {
				t.Errorf("stdout %q, stderr %q", &out, &errOut)
			}
		})
	}
}

func TestHalfClose(t *testing.T) {
	c := dial(t, newWay(t, 3, nil).hops, Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		asked, _ := io.ReadAll(conn) // until the client has said all
		_, _ = conn.Write([]byte("you said " + string(asked)))
	}()
	conn, err := c.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || string(answer) != "you said hello" {
		t.Errorf("read %q, %v", answer, err)
	}
	<-served
}

func TestExtend(t *testing.T) {
	w := newWay(t, 3, nil)
	short := dial(t, w.hops[:2], Options{})
	long, err := short.Extend(t.Context(), w.hops[2])
	if err != nil {
		t.Fatal(err)
	}
	_ = long.Close()
	<-long.Done()
	if err := short.Exec(t.Context(), "echo still here", nil, nil, nil); err != nil {
		t.Errorf("the parent after its extension was closed: %v", err)
	}

	long, err = short.Extend(t.Context(), w.hops[2])
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	_ = short.Close()
	<-long.Done()
	if err := long.Exec(t.Context(), "echo", nil, nil, nil); err == nil {
		t.Error("the extension outlives its parent")
	}
}
