package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Exec runs command in the login shell of the last hop (RFC 4254 §6.5) and
// returns when it has ended and all its output is written, or when ctx has ended. A nil stdin is
// empty; a nil stdout or stderr is thrown away. The end of stdin is passed on;
// the command's stdout and stderr each have a goroutine that writes them.
//
// A command that ends before its stdin does leaves a Read of stdin waiting,
// since nothing can interrupt that; it is let go, and what it reads is lost. Whoever
// gives a stdin that may block (a pipe, a terminal) should close it after Exec.
//
// When ctx ends the channel is closed, which a command feels as the end of its
// stdin and as SIGPIPE, and sshd as the order to hang up; the cause of ctx is
// returned at once. After that nothing more is written to stdout and stderr.
//
// Errors: *ssh.ExitError with the command's status or signal;
// *ssh.ExitMissingError if it ended and the server did not say how; *OpenError
// if the hop runs no commands; *LostError if the connection broke.
func (c *Chain) Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	l := c.lastSSHConn()
	out, errOut := newGatedWriter(stdout), newGatedWriter(stderr)
	defer out.close()
	defer errOut.close()

	sess, err := l.openSession(ctx)
	if err != nil {
		return l.openError(ctx, "session", err)
	}
	sess.Stdout, sess.Stderr = out, errOut
	input, err := sess.StdinPipe()
	if err != nil {
		return fmt.Errorf("run command on %s: %w", l.hop, err)
	}

	// Neither is a task of the chain's, whose Close would wait for it: they may
	// be held by a stdin that has nothing to say, or an output that nobody takes.
	ended := make(chan error, 1)
	go func() {
		defer sess.Close()
		if err := sess.Start(command); err != nil {
			ended <- fmt.Errorf("start command: %w", err)
			return
		}
		go copyStdin(input, stdin)
		ended <- sess.Wait()
	}()
	select {
	case err := <-ended:
		return l.execError(err)
	case <-ctx.Done():
		// Closing may wait for a transport that is stuck.
		l.chain.startTask(func() { _ = sess.Close() })
		return context.Cause(ctx)
	case <-l.chain.done:
		// The end may be on its way, behind the last of the output.
		select {
		case err := <-ended:
			return l.execError(err)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(outputGrace):
			return l.chain.err
		}
	}
}

// outputGrace is how long an output may take to swallow what came last.
const outputGrace = 250 * time.Millisecond

// openSession opens a session, or gives up when ctx ends; NewSession can wait for
// good on a dead link (golang/go#26643).
func (l *sshConn) openSession(ctx context.Context) (*ssh.Session, error) {
	ch, reqs, err := l.openChannel(ctx, "session", nil)
	if err != nil {
		return nil, err
	}
	// x/crypto makes sessions only from clients, and only they can make an
	// *ssh.ExitError: so it is given a client that has this one channel.
	return (&ssh.Client{Conn: oneChannel{l.client.Conn, ch, reqs}}).NewSession()
}

type oneChannel struct {
	ssh.Conn
	ch   ssh.Channel
	reqs <-chan *ssh.Request
}

func (o oneChannel) OpenChannel(string, []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	return o.ch, o.reqs, nil
}

func copyStdin(input io.WriteCloser, stdin io.Reader) {
	if stdin != nil {
		_, _ = io.Copy(input, stdin) // a command need not read all of its input
	}
	_ = input.Close()
}

// execError tells a lost connection, which ends a session without a status,
// from a command that ended so.
func (l *sshConn) execError(err error) error {
	var status *ssh.ExitError
	if err == nil || errors.As(err, &status) {
		return err
	}
	if err := l.lostErrorOr(nil); err != nil {
		return err
	}
	return fmt.Errorf("run command on %s: %w", l.hop, err)
}

// A gatedWriter passes writes on until it is closed.
type gatedWriter struct {
	w    io.Writer
	hold chan struct{} // holds one token while a write is in progress
	shut atomic.Bool
}

func newGatedWriter(w io.Writer) *gatedWriter {
	if w == nil {
		w = io.Discard
	}
	return &gatedWriter{w: w, hold: make(chan struct{}, 1)}
}

func (g *gatedWriter) Write(p []byte) (int, error) {
	g.hold <- struct{}{}
	defer func() { <-g.hold }()
	if g.shut.Load() {
		return 0, io.ErrClosedPipe
	}
	return g.w.Write(p)
}

// close waits for a write in progress, but not for ever: it may be in a pipe
// that nobody reads any more, because the reader waits for Exec.
func (g *gatedWriter) close() {
	g.shut.Store(true)
	timer := time.NewTimer(outputGrace)
	defer timer.Stop()
	select {
	case g.hold <- struct{}{}:
		<-g.hold
	case <-timer.C:
	}
}
