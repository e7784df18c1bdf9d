//go:build linux || darwin

package master

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshserver"
)

// answerTime is how long the server may take to answer. The SSH connection may be dead without the
// knowledge of the ssh that has it.
const answerTime = 5 * time.Second

// probePause is the least time between two probes of the server: sshd logs lines for each. A
// variable for tests.
var probePause = time.Minute

// Join returns hop with a Carrier over the control socket of an ssh of this user. It returns an
// error if no such ssh listens there, or if the ssh server does not answer within answerTime.
func Join(ctx context.Context, socket string, hop chain.Hop) (chain.Hop, error) {
	m := &master{socket: socket}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if err := m.probeServer(ctx); err != nil {
		m.cancel()
		return chain.Hop{}, err
	}
	m.probed = time.Now()
	server, err := sshserver.New(sshserver.Config{Anyone: true, Run: m.runCommand, Dial: m.dialFromServer, Request: m.answerKeepalive})
	if err != nil {
		m.cancel()
		return chain.Hop{}, err
	}
	m.server = server
	if hop.Signer, err = sshserver.NewKey(); err != nil { // no host sees it
		m.cancel()
		return chain.Hop{}, err
	}
	hop.HostKeys = chain.PinnedKeys(server.HostKey())
	hop.Carrier = m.openCarrier
	return hop, nil
}

// A master is the SSH server in place of the hop. It passes on what the chain requests.
type master struct {
	socket string
	server *sshserver.Server
	ctx    context.Context // ends with the chain or with the ssh
	cancel context.CancelFunc

	mu     sync.Mutex
	probed time.Time // when the server answered last

	refusesSessions atomic.Bool // the server has refused a session
}

// openCarrier implements the Carrier of chain.Hop.
func (m *master) openCarrier(ctx context.Context) (net.Conn, error) {
	watch, err := dialMux(ctx, m.socket) // ends with the ssh
	if err != nil {
		return nil, err
	}
	ours, theirs := sshserver.Pipe()
	c := &carrier{Conn: ours, master: m, watch: watch}
	c.tasks.Go(func() {
		_, _ = io.Copy(io.Discard, watch)
		m.cancel()
		_ = ours.Close()
		_ = theirs.Close()
	})
	c.tasks.Go(func() {
		m.server.Serve(theirs)
		m.cancel()
		_ = watch.Close()
	})
	return c, nil
}

// A carrier is the connection of the chain to a master.
type carrier struct {
	*sshserver.Conn
	master *master
	watch  net.Conn
	tasks  sync.WaitGroup
}

// Close ends what this chain runs over the ssh's connection. The connection itself stays open.
func (c *carrier) Close() error {
	c.master.cancel()
	_ = c.watch.Close()
	err := c.Conn.Close()
	c.tasks.Wait()
	return err
}

// noSubsystem is the name of a subsystem that no server has.
const noSubsystem = "check@cscs"

// probeServer requests a session with a subsystem that the server does not have, and returns when
// the server has answered. The server starts no shell for it. ssh prints nothing about it, whereas
// it prints a refused connection. A server that refuses sessions (MaxSessions) is not asked again,
// since ssh prints that refusal. The keepalive of the next hop then shows its silence.
func (m *master) probeServer(ctx context.Context) error {
	if m.refusesSessions.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r, err := openRequest(ctx, m.socket, newSubsystem(noSubsystem), 2)
	switch {
	case errors.As(err, new(*refusedError)):
		m.refusesSessions.Store(true)
		return nil
	case err != nil:
		return err
	}
	// Close only after the answer: ssh would otherwise print that there is no such subsystem.
	defer r.close()
	defer context.AfterFunc(ctx, r.close)()
	_, _ = io.Copy(io.Discard, r.control)
	return nil
}

// answerKeepalive answers a keepalive only if the server answers, so that its silence shows.
func (m *master) answerKeepalive(req *ssh.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.probed) > probePause {
		if err := m.probeServer(m.ctx); err != nil {
			return // no reply: after its timeout the chain ends
		}
		m.probed = time.Now()
	}
	_ = req.Reply(false, nil)
}

// dialFromServer opens a connection from the server to addr.
func (m *master) dialFromServer(network, addr string) (net.Conn, error) {
	if network != "tcp" {
		return nil, &ssh.OpenChannelError{Reason: ssh.Prohibited, Message: "ssh's control socket has no request for " + network + " sockets"}
	}
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, err
	}
	r, err := openRequest(m.ctx, m.socket, newForward(host, uint32(port)), 1)
	if err != nil {
		return nil, err
	}
	return &conn{request: r, master: m}, nil
}

// cutIfGone is called after a stream has ended, and reports whether the ssh is gone. It then cuts
// the chain's connection, because the end of the ssh must not pass for the end of the data.
func (m *master) cutIfGone() bool {
	ctx, cancel := context.WithTimeout(m.ctx, answerTime)
	defer cancel()
	control, err := dialMux(ctx, m.socket)
	if err != nil {
		m.server.Cut()
		return true
	}
	_ = control.Close()
	return false
}

// runCommand runs a command on the server and returns its exit status; -1: unknown.
func (m *master) runCommand(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	r, err := openRequest(ctx, m.socket, newSession(command), 2)
	if err != nil {
		m.cancel() // for example MaxSessions: a chain with its own SSH connection has room for the command
		m.server.Cut()
		return -1
	}
	stop := context.AfterFunc(ctx, r.close)
	defer stop()
	defer r.close()
	var copies sync.WaitGroup
	go func() { // stdin may block until the channel is closed
		_, _ = io.Copy(r.in, stdin)
		_ = r.in.Close()
	}()
	copies.Go(func() { _, _ = io.Copy(stdout, r.out[0]) })
	copies.Go(func() { _, _ = io.Copy(stderr, r.out[1]) })
	status, err := receiveMessage(r.control, muxExitMessage)
	copies.Wait()
	if err != nil || len(status) < 8 {
		m.cutIfGone()
		return -1
	}
	return int(firstNumber(status[4:]))
}

// A conn is a connection that the ssh has opened from the server.
type conn struct {
	*request
	master *master
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.out[0].Read(p)
	if errors.Is(err, io.EOF) && c.master.cutIfGone() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) { return c.in.Write(p) }
func (c *conn) CloseWrite() error           { return c.in.Close() }
func (c *conn) Close() error                { c.close(); return nil }

func (c *conn) LocalAddr() net.Addr                { return nil }
func (c *conn) RemoteAddr() net.Addr               { return nil }
func (c *conn) SetDeadline(t time.Time) error      { return os.ErrNoDeadline }
func (c *conn) SetReadDeadline(t time.Time) error  { return os.ErrNoDeadline }
func (c *conn) SetWriteDeadline(t time.Time) error { return os.ErrNoDeadline }
