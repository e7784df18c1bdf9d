package chain

import (
	"context"
	"fmt"
	"io"
	"net"

	"golang.org/x/crypto/ssh"
)

// An Adoption is how a chain is made of another process's.
type Adoption struct {
	Hop string // the last hop of the chain there

	// Join is called first, to ask to be let in. When it fails, so does Adopt.
	Join func(ssh.Conn) error

	// Attend takes in the global requests that the far side makes, until there are no
	// more, and may end the chain before that by returning why it is lost.
	Attend func(<-chan *ssh.Request) error
}

// Adopt makes a chain of conn, a connection within this machine to a process that has
// one and passes on what is opened (forward/share). What it carries is the connection
// protocol alone (RFC 4254), in the framing of OpenSSH's control socket in proxy mode
// (PROTOCOL.mux): who is at the other end must be known before, and nothing is encrypted.
//
// When ctx ends before the chain is there, its cause is returned. Conn is closed
// unless Adopt succeeds.
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

	c := &Chain{opts: opts.withDefaults(), done: make(chan struct{})}
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

// discardConn ends a connection that nobody attends to yet.
func discardConn(sc ssh.Conn, chans <-chan ssh.NewChannel, reqs <-chan *ssh.Request) {
	_ = sc.Close()
	ssh.DiscardRequests(reqs)
	for range chans {
		continue // there can be none: the far side opens no channels
	}
}

// OpenChannel opens a channel on the last hop and hands it over as it is, for who passes
// it on (forward/share). Its requests must be read. When the connection is lost, a
// read from the channel ends in a *LostError, not in EOF. Errors as for DialContext.
func (c *Chain) OpenChannel(ctx context.Context, kind string, payload []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	l := c.lastSSHConn()
	ch, reqs, err := l.openChannel(ctx, kind, payload)
	if err != nil {
		return nil, nil, l.openError(ctx, kind, err)
	}
	return carried{ch, l}, reqs, nil
}

// carried is a channel that tells the end of the connection from that of its data.
type carried struct {
	ssh.Channel
	sshConn *sshConn
}

func (c carried) Read(p []byte) (int, error) {
	n, err := c.Channel.Read(p)
	return n, c.readError(err)
}

func (c carried) Stderr() io.ReadWriter {
	return struct {
		io.Reader
		io.Writer
	}{carriedErrors(c), c.Channel.Stderr()}
}

type carriedErrors carried

func (c carriedErrors) Read(p []byte) (int, error) {
	n, err := c.Channel.Stderr().Read(p)
	return n, carried(c).readError(err)
}

func (c carried) readError(err error) error {
	if err != nil && c.sshConn.isBroken() {
		return c.sshConn.lostErrorOr(c.sshConn.cutError())
	}
	return err
}
