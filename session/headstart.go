package session

import (
	"context"
	"net"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/runclock"
)

// A node.headStart is a connection from the login node to the node's sshd that is opened as soon as
// Slurm has granted the job. The runner's first event, which brings the host keys, comes a moment
// later, or after the node's prolog. By then sshd has sent its version. This saves two round trips.
type headStart struct {
	login  *share.Chain
	addr   string
	opened chan opened // receives one value; closed if there is none, or none any more
}

type opened struct {
	conn net.Conn
	err  error
}

// headStartMost is how long an open connection waits for the host keys. sshd ends an unused
// connection after LoginGraceTime, two minutes by default (sshd_config(5)).
const headStartMost = 15 * time.Second

// giveHeadStart opens the connection to the node.
func (s *session) giveHeadStart(work context.Context, node string) {
	hop := s.cfg.NodeHop(node, chain.PinnedKeys())
	if s.node.byStep.taken || hop.Carrier != nil || s.login.chain == nil {
		return
	}
	h := &headStart{s.login.chain, hop.Addr, make(chan opened)}
	s.node.headStart = h
	s.work.Go(func() {
		defer close(h.opened)
		conn, err := h.login.DialContext(work, "tcp", h.addr)
		if err != nil {
			select {
			case h.opened <- opened{nil, err}: // received if a dial already waits for it
			default:
			}
			return
		}
		late := make(chan struct{})
		defer runclock.AfterFunc(headStartMost, func() { close(late) }).Stop()
		select {
		case h.opened <- opened{conn, nil}:
			return
		case <-late:
		case <-work.Done():
		}
		_ = conn.Close()
	})
}

// takeHeadStart returns a function that opens connections to the address: it first returns the one
// opened before, then new ones. It returns nil if none was opened before.
func (s *sessionCore) takeHeadStart(login *share.Chain, addr string) func(context.Context) (net.Conn, error) {
	h := s.node.headStart
	s.node.headStart = nil
	if h == nil || h.login != login || h.addr != addr {
		return nil
	}
	return func(ctx context.Context) (net.Conn, error) {
		select {
		case first, ok := <-h.opened:
			if ok {
				return first.conn, first.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		return login.DialContext(ctx, "tcp", addr)
	}
}
