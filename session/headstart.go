package session

import (
	"context"
	"net"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/runclock"
)

// A headStart is a connection from the login node to the sshd of a node, opened when Slurm has granted the job.
// The runner's first sign of life, which brings the host keys, comes a moment later, or as long after that as the node's
// prolog takes; by then sshd has greeted. It costs two round trips less.
type headStart struct {
	login  *share.Chain
	addr   string
	opened chan opened // once; closed if there is none, or no longer
}

type opened struct {
	conn net.Conn
	err  error
}

// headStartMost is how long an open connection waits for the host keys. sshd ends one on which nothing has come after
// LoginGraceTime, two minutes by default (sshd_config(5)).
const headStartMost = 15 * time.Second

// giveHeadStart opens the connection to the node.
func (s *session) giveHeadStart(work context.Context, node string) {
	hop := s.cfg.NodeHop(node, chain.PinnedKeys())
	if s.stepTransport.taken || hop.Carrier != nil || s.chain == nil {
		return
	}
	h := &headStart{s.chain, hop.Addr, make(chan opened)}
	s.headStart = h
	s.work.Go(func() {
		defer close(h.opened)
		conn, err := h.login.DialContext(work, "tcp", h.addr)
		if err != nil {
			select {
			case h.opened <- opened{nil, err}: // the dial waits for it already
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

// takeHeadStart returns what opens connections to the address: first the one that was opened before, then new ones.
// It returns nil if none was opened before.
func (s *session) takeHeadStart(login *share.Chain, addr string) func(context.Context) (net.Conn, error) {
	h := s.headStart
	s.headStart = nil
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
