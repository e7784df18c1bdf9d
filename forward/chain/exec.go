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

// Exec runs command in the login shell of the last hop (RFC 4254, section 6.5). It returns when the
// command has ended and all its output is written, or when ctx ends. A nil stdin is empty; a nil
// stdout or stderr is discarded. The end of stdin is passed on. stdout and stderr are each written
// by a goroutine of their own.
//
// If a command ends before its stdin, a Read of stdin may still block, since nothing can interrupt
// it. Exec does not wait for that Read, and what it returns is lost. A caller whose stdin may block
// (a pipe, a terminal) should close it after Exec.
//
// When ctx ends, Exec closes the channel and returns the cause of ctx at once. The command sees the
// end of its stdin and SIGPIPE, and sshd hangs up. After that, nothing more is written to stdout
// and stderr.
//
// Errors: *ssh.ExitError with the command's status or signal; *ssh.ExitMissingError if the server
// did not report how the command ended; *OpenError if the hop runs no commands; *LostError if the
// SSH connection broke.
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

	// Neither goroutine is a task of the chain, whose Close would wait for it: a stdin without data
	// or an output without a reader may block it.
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
		// Close may block on a transport that does not respond.
		l.chain.startTask(func() { _ = sess.Close() })
		return context.Cause(ctx)
	case <-l.chain.done:
		// The command's end may still arrive, behind the last of the output.
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

// outputGrace is how long an output may take to accept the last data.
const outputGrace = 250 * time.Millisecond

// openSession opens a session, or returns when ctx ends. NewSession alone can block forever on a
// dead connection (golang/go#26643).
func (l *sshConn) openSession(ctx context.Context) (*ssh.Session, error) {
	ch, reqs, err := l.openChannel(ctx, "session", nil)
	if err != nil {
		return nil, err
	}
	// x/crypto makes sessions only from clients, and only sessions return an *ssh.ExitError. So it
	// gets a client with this one channel.
	return (&ssh.Client{Conn: oneChannel{l.client.Conn, ch, reqs}}).NewSession()
}

// A oneChannel is an ssh.Conn whose OpenChannel returns a channel that is already open.
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
		_, _ = io.Copy(input, stdin) // a command need not read all its input
	}
	_ = input.Close()
}

// execError returns the error of Exec. A session without an exit status may have ended with a lost
// connection or by itself.
func (l *sshConn) execError(err error) error {
	if err == nil || errors.As(err, new(*ssh.ExitError)) {
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
	hold chan struct{} // holds a token during a write
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

// close waits for a write in progress, for at most outputGrace. The write may block in a pipe that
// has no reader any more, because the reader waits for Exec.
func (g *gatedWriter) close() {
	g.shut.Store(true)
	select {
	case g.hold <- struct{}{}:
		<-g.hold
	case <-time.After(outputGrace):
	}
}
