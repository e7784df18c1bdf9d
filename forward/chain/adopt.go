package chain

import (
	"context"
	"fmt"
	"io"
	"net"

	"golang.org/x/crypto/ssh"
)

// An Adoption says how Adopt makes a chain from that of another process.
type Adoption struct {
	Hop string // name of the last hop of that chain

	// Join is called first, to ask the process to admit this one. Adopt returns its error.
	Join func(ssh.Conn) error

	// Attend handles the global requests of the far side until there are no more. It may end the
	// chain before that by returning why it is lost.
	Attend func(<-chan *ssh.Request) error
}

// Adopt makes a chain of conn, a connection within this machine to a process that has a chain and
// passes channels on (forward/share). conn carries the connection protocol alone (RFC 4254), in the
// framing of OpenSSH's control socket in proxy mode (PROTOCOL.mux). Nothing is encrypted, so the
// caller must know which process is at the other end.
//
// If ctx ends before the chain exists, Adopt returns its cause. It closes conn unless it succeeds.
func Adopt(ctx context.Context, conn net.Conn, how Adoption, opts Options) (*Chain, error) {
	w := newMonitoredConn(conn)
	w.endGreeting()
	stop := context.AfterFunc(ctx, func() { _ = w.Close() })
	sc, chans, reqs, err := ssh.NewControlClientConn(w)
	if err == nil {
		if err = how.Join(sc); err != nil {
			discardConn(sc, chans, reqs)
		}
	} else {
		_ = w.Close()
	}
	if !stop() && err == nil {
		discardConn(sc, chans, reqs)
		err = context.Cause(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("join the connection to %s: %w", how.Hop, err)
	}

	c := &Chain{opts: opts.WithDefaults(), done: make(chan struct{})}
	none := make(chan *ssh.Request)
	close(none)
	l := newSSHConn(c, how.Hop, w, ssh.NewClient(sc, chans, none))
	l.told = make(chan struct{})
	c.appendSSHConn(l)
	c.startTask(func() {
		defer close(l.told)
		if err := how.Attend(reqs); err != nil {
			c.endChain(err)
		}
		ssh.DiscardRequests(reqs)
	})
	return c, nil
}

// discardConn closes a connection that has no reader of its channels and requests yet.
func discardConn(sc ssh.Conn, chans <-chan ssh.NewChannel, reqs <-chan *ssh.Request) {
	_ = sc.Close()
	ssh.DiscardRequests(reqs)
	for range chans {
		continue // the far side opens no channels
	}
}

// OpenChannel opens a channel on the last hop and returns it as it is, for a caller that passes it
// on (forward/share). The caller must read its requests. If the SSH connection is lost, a read from
// the channel returns a *LostError, not EOF. Errors are as for DialContext.
func (c *Chain) OpenChannel(ctx context.Context, kind string, payload []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	l := c.lastSSHConn()
	ch, reqs, err := l.openChannel(ctx, kind, payload)
	if err != nil {
		return nil, nil, l.openError(ctx, kind, err)
	}
	return carried{ch, l}, reqs, nil
}

// carried is a channel whose reads tell a lost connection from the end of the data.
type carried struct {
	ssh.Channel
	sshConn *sshConn
}

func (c carried) Read(p []byte) (int, error) {
	n, err := c.Channel.Read(p)
	return n, c.sshConn.readError(err)
}

func (c carried) Stderr() io.ReadWriter { return carriedErrors{c.Channel.Stderr(), c.sshConn} }

type carriedErrors struct {
	io.ReadWriter
	sshConn *sshConn
}

func (c carriedErrors) Read(p []byte) (int, error) {
	n, err := c.ReadWriter.Read(p)
	return n, c.sshConn.readError(err)
}
