package share

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/runclock"
)

// joined is the part of a Chain that belongs to another process.
type joined struct {
	rendezvous Rendezvous
	opts       chain.Options
	conn       ssh.Conn
	leaving    chan struct{}
}

// joinSharingProcess joins the chain of the process that serves the rendezvous. The error is
// errNobody if no process serves it, or if that process has ended or failed to dial. Any other
// error is a reason not to ask again.
func (d *sharedDial) joinSharingProcess(ctx context.Context) (*Chain, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", d.rendezvous.socketPath())
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil { // no file, or a stale one; the lock decides
		return nil, fmt.Errorf("%w: %w", errNobody, err)
	}
	unix := conn.(*net.UnixConn)
	if err := peer.CheckSocket(unix); err != nil {
		_ = conn.Close()
		return nil, err
	}
	// The kernel accepts connections for a stopped process too, and the process may be stopped at
	// any moment, hence the timer. Time in which this process itself is stopped does not count.
	greeting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	timer := runclock.AfterFunc(stuckTimeout, func() { stop(errStuck) })
	defer timer.Stop()

	j := &joined{rendezvous: d.rendezvous, opts: d.opts, leaving: make(chan struct{})}
	c, err := chain.Adopt(greeting, newSocket(unix), chain.Adoption{
		Hop: d.rendezvous.Host,
		Join: func(sc ssh.Conn) error {
			d.silentSince = time.Time{} // a process serves the rendezvous
			j.conn = sc
			defer timer.Stop()
			return j.requestJoin(func() { timer.Reset(stuckTimeout) })
		},
		Attend: j.handleRequests,
	}, d.opts)
	switch {
	case err == nil:
	case greeting.Err() != nil, errors.Is(err, errAsking), errors.Is(err, errVersion):
		return nil, err
	default:
		return nil, fmt.Errorf("%w: %w", errNobody, err) // it has gone
	}
	d.opts.Observe(d.rendezvous.Host, false)
	d.opts.Observe(d.rendezvous.Host, true)
	return d.completeChain(&Chain{Chain: c, joined: j}), nil
}

// requestJoin asks to join, which takes as long as the sharing process's dial. It calls heard
// before each request, and so whenever the sharing process has given a sign.
func (j *joined) requestJoin(heard func()) error {
	for {
		heard()
		ok, reply, err := j.conn.SendRequest(joinRequest, true, ssh.Marshal(joinMessage{protocolVersion}))
		if err != nil || ok {
			return err
		}
		var m verdictMessage
		if err := ssh.Unmarshal(reply, &m); err != nil {
			return errVersion
		}
		switch m.Verdict {
		case verdictWait:
			continue
		case verdictAgain:
			return errNobody
		case verdictAsking:
			return errAsking
		}
		return errVersion
	}
}

// handleRequests handles the sharing process's requests and returns why the chain is lost. If the
// requests end without a reason, the sharing process has ended.
func (j *joined) handleRequests(reqs <-chan *ssh.Request) error {
	left := false
	for req := range reqs {
		switch req.Type {
		case silenceRequest:
			var m silenceMessage
			if ssh.Unmarshal(req.Payload, &m) == nil {
				j.opts.Silence(m.Hop, m.Silent)
			}
		case leavingRequest, pausingRequest:
			// The work of a process with ClientOnly cannot be moved, and may outlast a pause.
			if !left && (req.Type == leavingRequest || !j.rendezvous.ClientOnly) {
				left = true
				close(j.leaving)
			}
		case lostRequest:
			var m lostMessage
			if ssh.Unmarshal(req.Payload, &m) == nil {
				return m.lostError()
			}
		}
		_ = req.Reply(false, nil)
	}
	return &chain.LostError{Hop: j.rendezvous.Host, Err: errSharingProcessEnded}
}

// sendMoved tells the sharing process that this process has another chain.
func (j *joined) sendMoved() { _, _, _ = j.conn.SendRequest(movedRequest, false, nil) }
