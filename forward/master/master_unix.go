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

// answerTime is how long the server may take to answer: the connection may be dead without the
// ssh that has it knowing.
const answerTime = 5 * time.Second

// checkPause is the least time between two questions whether the server answers: sshd writes lines to its
// log for each. A variable for tests.
var checkPause = time.Minute

// Join returns the hop whose connection an ssh of this user's has, by that ssh's control socket. It
// fails where there is no such ssh, or its server does not answer.
func Join(ctx context.Context, socket string, hop chain.Hop) (chain.Hop, error) {
	m := &master{socket: socket}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	if err := m.checkServer(ctx); err != nil {
		m.cancel()
		return chain.Hop{}, err
	}
	m.checked = time.Now()
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

// A master is the server that a chain has in place of the hop: it hands on what the chain asks for.
type master struct {
	socket string
	server *sshserver.Server
	ctx    context.Context // ends with the chain, or the ssh
	cancel context.CancelFunc

	mu      sync.Mutex
	checked time.Time // when the server has last answered

	refusesSessions atomic.Bool // the server has refused a session
}

// openCarrier is a chain.Hop's Carrier.
func (m *master) openCarrier(ctx context.Context) (net.Conn, error) {
	watch, err := dialMux(ctx, m.socket) // it ends with the ssh
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

// A carrier is the chain's connection to a master.
type carrier struct {
	*sshserver.Conn
	master *master
	watch  net.Conn
	tasks  sync.WaitGroup
}

// Close ends what runs over the ssh's connection for this chain, and leaves that open.
func (c *carrier) Close() error {
	c.master.cancel()
	_ = c.watch.Close()
	err := c.Conn.Close()
	c.tasks.Wait()
	return err
}

func (c *carrier) LocalAddr() net.Addr              { return nil }
func (c *carrier) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: c.master.socket, Net: "unix"} }
func (c *carrier) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *carrier) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *carrier) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// noSubsystem is a subsystem that no server has.
const noSubsystem = "check@cscs"

// checkServer asks the server for a session with a subsystem that it does not have, and returns when it has
// answered. ssh prints nothing of that, as it does of a connection that the server refuses, and the server
// starts no shell. One that refuses sessions (MaxSessions) is not asked again, since ssh prints that: the
// keepalive of the next hop shows its silence.
func (m *master) checkServer(ctx context.Context) error {
	if m.refusesSessions.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	r, err := openRequest(ctx, m.socket, newSubsystem(noSubsystem), 2)
	var refused *refusedError
	switch {
	case errors.As(err, &refused):
		m.refusesSessions.Store(true)
		return nil
	case err != nil:
		return err
	}
	// Once this end is closed, ssh would print that there is no such subsystem.
	defer r.close()
	defer context.AfterFunc(ctx, r.close)()
	_, _ = io.Copy(io.Discard, r.control)
	return nil
}

// answerKeepalive answers a keepalive once the server has answered, so that the chain notices its silence.
func (m *master) answerKeepalive(req *ssh.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.checked) > checkPause {
		if err := m.checkServer(m.ctx); err != nil {
			return // no answer; once it has been silent for too long, the chain ends
		}
		m.checked = time.Now()
	}
	_ = req.Reply(false, nil)
}

// dialFromServer opens a connection from the server.
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

// cutIfGone reports whether the ssh is gone, after something has ended, and then cuts the chain's
// connection: the end of the ssh must not pass for the end of data.
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

// runCommand runs a command, and returns its exit status; less than 0: it is not known.
func (m *master) runCommand(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()
	r, err := openRequest(ctx, m.socket, newSession(command), 2)
	if err != nil {
		m.cancel() // sshd's MaxSessions, say: a chain of its own has place for it
		m.server.Cut()
		return -1
	}
	stop := context.AfterFunc(ctx, r.close)
	defer stop()
	defer r.close()
	var copies sync.WaitGroup
	go func() { // stdin may have nothing to say until the channel is closed
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

// A conn is a connection that the ssh has opened.
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
