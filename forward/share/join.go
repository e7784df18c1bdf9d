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

// joined is a chain that is another process's.
type joined struct {
	place   Place
	opts    chain.Options
	conn    ssh.Conn
	leaving chan struct{}
}

// join joins the chain of the process that serves the place. errNobody: there is none, or it
// ended, or failed to dial; any other error is a reason not to ask again.
func (d *dialling) join(ctx context.Context) (*Chain, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", d.place.socket())
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
	// A process that is stopped accepts connections, too: the kernel does. And it may be
	// stopped at any moment. If it is this process that is stopped, that does not count.
	greeting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	timer := runclock.AfterFunc(stuck, func() { stop(errStuck) })
	defer timer.Stop()

	j := &joined{place: d.place, opts: d.opts, leaving: make(chan struct{})}
	c, err := chain.Adopt(greeting, newSocket(unix), chain.Adoption{
		Hop: d.place.Host,
		Join: func(sc ssh.Conn) error {
			d.quiet = time.Time{} // there is somebody
			j.conn = sc
			defer timer.Stop()
			return j.ask(func() { timer.Reset(stuck) })
		},
		Attend: j.attend,
	}, d.opts)
	switch {
	case err == nil:
	case greeting.Err() != nil, errors.Is(err, errAsking), errors.Is(err, errVersion):
		return nil, err
	default:
		return nil, fmt.Errorf("%w: %w", errNobody, err) // it has gone away again
	}
	d.opts.Observe(d.place.Host, false)
	d.opts.Observe(d.place.Host, true)
	return d.chain(&Chain{Chain: c, sharer: j}), nil
}

// ask asks to be let in, which takes as long as the owner dials. It calls heard whenever
// the owner gives a sign.
func (j *joined) ask(heard func()) error {
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

// attend takes in what the owner has to say. When it says nothing more, it is gone.
func (j *joined) attend(reqs <-chan *ssh.Request) error {
	left := false
	for req := range reqs {
		switch req.Type {
		case silenceRequest:
			var m silenceMessage
			if ssh.Unmarshal(req.Payload, &m) == nil {
				j.opts.Silence(m.Hop, m.Silent)
			}
		case leavingRequest, pausingRequest:
			// What a guest is for cannot be moved, and may well go on after a pause.
			if !left && (req.Type == leavingRequest || !j.place.Guest) {
				left = true
				close(j.leaving)
			}
		case lostRequest:
			var m lostMessage
			if ssh.Unmarshal(req.Payload, &m) == nil {
				return m.err()
			}
		}
		_ = req.Reply(false, nil)
	}
	return &chain.LostError{Hop: j.place.Host, Err: errOwnerEnded}
}

// moved tells the owner that this process has another chain. The socket may be full.
func (j *joined) moved() { _, _, _ = j.conn.SendRequest(movedRequest, false, nil) }
