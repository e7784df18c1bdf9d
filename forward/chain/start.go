package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/crypto/ssh"
)

// Start runs command in the login shell of the last hop, as Exec does, and returns its standard
// input and output as one connection. That is like those of DialContext. Its Close closes the
// command's channel, with the effects that Exec describes, and does not block. The command's
// standard error goes to stderr; all of it is written before a Read returns io.EOF. If ctx ends
// first, Start closes the channel and returns the cause. Later ctx does not affect the connection.
//
// Errors: *OpenError if the hop runs no commands, *LostError if the SSH connection is lost.
func (c *Chain) Start(ctx context.Context, command string, stderr io.Writer) (net.Conn, error) {
	l := c.lastSSHConn()
	ch, reqs, err := l.openChannel(ctx, "session", nil)
	if err != nil {
		return nil, l.openError(ctx, "session", err)
	}
	inner, err := newConn(l, ch, reqs, hopAddr{"ssh", l.hop})
	if err != nil {
		return nil, l.lostErrorOr(err)
	}
	conn := &pipe{conn: inner, told: make(chan struct{})}
	started := make(chan error, 1)
	ok := l.chain.startTask(func() {
		defer close(conn.told)
		_, _ = io.Copy(stderr, ch.Stderr())
		// Unread, it would use up the window, which the channel's data needs too.
		_, _ = io.Copy(io.Discard, ch.Stderr())
	}) && l.chain.startTask(func() {
		ok, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command}))
		if err == nil && !ok {
			err = errNotRun
		}
		started <- err
	})
	if !ok {
		_ = conn.Close()
		return nil, l.lostErrorOr(net.ErrClosed)
	}
	select {
	case err = <-started:
		if err == nil {
			return conn, nil
		}
		err = fmt.Errorf("run command on %s: %w", l.hop, err)
		if !errors.Is(err, errNotRun) {
			err = l.lostErrorOr(err)
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = conn.Close()
	return nil, err
}

var errNotRun = errors.New("the server does not run it")

// A pipe is the connection that Start returns.
type pipe struct {
	*conn
	told chan struct{} // closed when all of standard error is written
}

func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.conn.Read(b)
	if errors.Is(err, io.EOF) {
		<-p.told // follows at once: standard error ends with the channel
	}
	return n, err
}
