//go:build linux || darwin

package master

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A login is OpenSSH's ssh, logged in at OpenSSH's server, with a control socket.
type login struct {
	sshd   *sshtest.SSHD
	socket string
	hop    chain.Hop // at which the chain has no key that lets it in
	ssh    *exec.Cmd
	stderr string // the file that has what the ssh prints there
}

func newLogin(t *testing.T, options ...string) *login {
	t.Helper()
	key := filepath.Join(t.TempDir(), "k")
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	line, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		t.Fatal(err)
	}
	l := &login{sshd: sshtest.StartSSHD(t, sshtest.SSHDConfig{Keys: []ssh.PublicKey{pub}, Options: options}), socket: filepath.Join(sshtest.ShortDir(t), "m")}
	host, port, err := net.SplitHostPort(l.sshd.Addr)
	if err != nil {
		t.Fatal(err)
	}
	l.hop = chain.Hop{Name: "ela", Addr: l.sshd.Addr, User: l.sshd.User, Signer: sshtest.NewKey(t), HostKeys: chain.PinnedKeys(l.sshd.HostKeys...)}
	// LocalCommand runs once it is logged in; the socket listens by then.
	l.ssh = exec.CommandContext(t.Context(), "ssh", "-F", "/dev/null", "-M", "-S", l.socket, "-N", "-i", key, "-l", l.sshd.User, "-p", port,
		"-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo ready", host)
	out, err := l.ssh.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.stderr = filepath.Join(t.TempDir(), "stderr")
	stderr, err := os.Create(l.stderr)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	l.ssh.Stderr = stderr
	if err := l.ssh.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.ssh.Process.Kill()
		_ = l.ssh.Wait()
		if t.Failed() {
			t.Logf("ssh says:\n%s", l.said(t))
		}
	})
	if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
		t.Fatalf("%v: %s", err, l.said(t))
	}
	l.check(t)
	return l
}

// said is what the ssh has printed on its standard error: the user's terminal.
func (l *login) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(l.stderr)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// check fails the test unless the ssh lives.
func (l *login) check(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ssh", "-S", l.socket, "-O", "check", "any").CombinedOutput(); err != nil {
		t.Errorf("the ssh is gone: %v, %s", err, out)
	}
}

// dial makes a chain over the login, and through it to more hops.
func (l *login) dial(t *testing.T, more ...chain.Hop) *chain.Chain {
	t.Helper()
	hop, err := Join(t.Context(), l.socket, l.hop)
	if err != nil {
		t.Fatal(err)
	}
	c, err := chain.Dial(t.Context(), append([]chain.Hop{hop}, more...), chain.Options{Keepalive: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestMaster: commands and connections go over the login of the user's ssh, without a key and
// without another login. What the server refuses, and the chain's end, leave that ssh alone.
func TestMaster(t *testing.T) {
	l := newLogin(t)
	c := l.dial(t)
	var out, errOut bytes.Buffer
	err := c.Exec(t.Context(), "cat; echo oh >&2; exit 3", strings.NewReader(strings.Repeat("x", 1<<20)), &out, &errOut)
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 3 || out.Len() != 1<<20 || errOut.String() != "oh\n" {
		t.Errorf("%v, %d bytes, %q", err, out.Len(), &errOut)
	}
	echo := sshtest.ServeTCP(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	for range 30 {
		conn, err := c.DialContext(t.Context(), "tcp", echo)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte("hello"))
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		if back, err := io.ReadAll(conn); err != nil || string(back) != "hello" {
			t.Errorf("%q, %v", back, err)
		}
		_ = conn.Close()
	}
	if _, err := c.DialContext(t.Context(), "unix", "/run/any"); !errors.As(err, new(*chain.OpenError)) {
		t.Errorf("a unix socket: %v", err)
	}
	if _, err := c.DialContext(t.Context(), "tcp", "127.0.0.1:1"); !errors.As(err, new(*chain.OpenError)) {
		t.Errorf("a closed port: %v", err)
	}
	if c.Err() != nil || l.sshd.Conns() != 1 {
		t.Errorf("%v, %d connections", c.Err(), l.sshd.Conns())
	}
	_ = c.Close()
	l.check(t)
}

// TestMasterHangsUp: a command whose channel is closed ends, though it reads and writes nothing.
func TestMasterHangsUp(t *testing.T) {
	l := newLogin(t)
	c := l.dial(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- c.Exec(ctx, "exec 3>"+fifo+"; echo started; exec sleep 1000", nil, writer, nil)
		_ = writer.Close()
	}()
	end, err := os.Open(fifo) // its end is the command's
	if err != nil {
		t.Fatal(err)
	}
	defer end.Close()
	if _, err := io.ReadFull(started, make([]byte, len("started"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l.check(t)
}

// TestMasterOfJumpHost: the next hop is dialled through the login, with its own key and host key.
func TestMasterOfJumpHost(t *testing.T) {
	l := newLogin(t)
	key := sshtest.NewKey(t)
	next := sshtest.StartSSHD(t, sshtest.SSHDConfig{Keys: []ssh.PublicKey{key.PublicKey()}})
	hop := chain.Hop{Name: "daint", Addr: next.Addr, User: next.User, Signer: key, HostKeys: chain.PinnedKeys(next.HostKeys...)}
	c := l.dial(t, hop)
	var out bytes.Buffer
	if err := c.Exec(t.Context(), "echo there", nil, &out, nil); err != nil || out.String() != "there\n" {
		t.Errorf("%q, %v", &out, err)
	}
	if l.sshd.Conns() != 1 || next.Conns() != 1 {
		t.Errorf("%d and %d connections", l.sshd.Conns(), next.Conns())
	}
	first, err := Join(t.Context(), l.socket, l.hop)
	if err != nil {
		t.Fatal(err)
	}
	hop.HostKeys = chain.PinnedKeys(sshtest.NewKey(t).PublicKey())
	if _, err := chain.Dial(t.Context(), []chain.Hop{first, hop}, chain.Options{}); !errors.As(err, new(*chain.HostKeyError)) {
		t.Errorf("another host's key: %v", err)
	}
	l.check(t)
}

// TestMasterDies: the chain is lost, its connections with it, and there is nothing to join any more.
func TestMasterDies(t *testing.T) {
	l := newLogin(t)
	c := l.dial(t)
	conn, err := c.DialContext(t.Context(), "tcp", sshtest.ServeTCP(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) }))
	if err != nil {
		t.Fatal(err)
	}
	_ = l.ssh.Process.Kill()
	var lost *chain.LostError
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &lost) || lost.Hop != "ela" {
		t.Errorf("%v", err)
	}
	<-c.Done()
	if _, err := Join(t.Context(), l.socket, l.hop); err == nil {
		t.Error("joined an ssh that is gone")
	}
}

// TestMasterHangs: an ssh that is stopped, or whose connection is dead, is passed over in time.
func TestMasterHangs(t *testing.T) {
	l := newLogin(t)
	sshtest.StopProcess(t, l.ssh.Process)
	if _, err := Join(t.Context(), l.socket, l.hop); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestMasterIsQuiet: what cscs asks of the server on its own account prints nothing on the terminal of the
// user's ssh, and starts no shell there.
func TestMasterIsQuiet(t *testing.T) {
	for name, options := range map[string][]string{"usual": nil, "no forwarding": {"AllowTcpForwarding no"}, "own command": {"ForceCommand echo never"}} {
		t.Run(name, func(t *testing.T) {
			l := newLogin(t, options...)
			before := l.said(t)
			m := &master{socket: l.socket}
			for range 20 {
				if err := m.probeServer(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if said := l.said(t); said != before {
				t.Errorf("the ssh says: %s", strings.TrimPrefix(said, before))
			}
			l.check(t)
		})
	}
}

// TestMasterWithoutSessions: a server that allows no sessions is asked once. It has answered by its refusal.
func TestMasterWithoutSessions(t *testing.T) {
	l := newLogin(t, "MaxSessions 0")
	before := l.said(t)
	m := &master{socket: l.socket}
	for range 5 {
		if err := m.probeServer(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if said := strings.TrimPrefix(l.said(t), before); strings.Count(said, "\n") > 1 {
		t.Errorf("the ssh says: %s", said)
	}
	l.check(t)
}

// TestMasterFallsSilent: a chain whose server does not answer any more is lost, as any.
func TestMasterFallsSilent(t *testing.T) {
	l := newLogin(t)
	usual := probePause
	probePause = 0
	defer func() { probePause = usual }() // once the chain is closed
	hop, err := Join(t.Context(), l.socket, l.hop)
	if err != nil {
		t.Fatal(err)
	}
	c, err := chain.Dial(t.Context(), []chain.Hop{hop}, chain.Options{Keepalive: 20 * time.Millisecond, Tolerance: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sshtest.StopProcess(t, l.ssh.Process)
	var lost *chain.LostError
	if <-c.Done(); !errors.As(c.Err(), &lost) || lost.Silence == 0 {
		t.Error(c.Err())
	}
}

// TestMasterIsFull: where sshd allows no further command on the connection, the chain is given up,
// so that one of its own is dialled. The ssh stays.
func TestMasterIsFull(t *testing.T) {
	l := newLogin(t, "MaxSessions 1")
	c := l.dial(t)
	first, err := c.Start(t.Context(), "cat", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := first.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(first, make([]byte, 1)); err != nil { // it runs
		t.Fatal(err)
	}
	if err := c.Exec(t.Context(), "true", nil, nil, nil); !errors.As(err, new(*chain.LostError)) {
		t.Error(err)
	}
	l.check(t)
}

// TestMasterIsNone: a socket at which something else listens, or nothing, is not joined.
func TestMasterIsNone(t *testing.T) {
	for _, socket := range []string{
		filepath.Join(t.TempDir(), "none"),
		sshtest.ServeUnix(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n") }),
		sshtest.ServeUnix(t, func(net.Conn) {}),
		sshtest.ServeUnix(t, func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0xff}, 100)) }),
	} {
		if _, err := Join(t.Context(), socket, chain.Hop{Name: "ela"}); err == nil {
			t.Error("joined")
		}
	}
}
