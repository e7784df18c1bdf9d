package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
)

// admission is for how long a node may refuse us because its pam_slurm_adopt has
// not heard of the job yet.
const admission = 15 * time.Second

// dialNode makes the last hop: while the server starts, and again when the
// connection to the node was lost though that to the login node was not. The
// node's host keys are those that the runner read there: nothing is asked, nothing
// is trusted blindly (invariant I7).
func (s *session) dialNode(work context.Context) {
	login, node, lines, again := s.chain, s.nodeName, s.hostKeys, s.ready
	s.work.Go(func() {
		keys, err := parseKeys(lines)
		var c *chain.Chain
		if err == nil {
			hop := s.cfg.NodeHop(node, chain.PinnedKeys(keys...))
			c, err = dialAdmitted(work, login, hop, again)
		}
		if sendErr := s.send(work, nodeDialled{login, c, err}); sendErr != nil && c != nil {
			_ = c.Close()
		}
	})
}

// watchNode tells of the end of the connection to the node.
func (s *session) watchNode(work context.Context, c *chain.Chain) {
	s.work.Go(func() {
		select {
		case <-c.Done():
			_ = s.send(work, nodeLost{c, c.Err()})
		case <-work.Done():
		}
	})
}

// dialAdmitted dials the node; for a while again, if it lets nobody in. A node
// that was reached before is dialled for as long as ctx lives: if it is dead,
// Slurm will say so.
func dialAdmitted(ctx context.Context, login *chain.Chain, hop chain.Hop, patient bool) (*chain.Chain, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 200*time.Millisecond, 2*time.Second
	limit := admission
	if patient {
		wait.MaxInterval, limit = 30*time.Second, 0 // no limit
	}
	return backoff.Retry(ctx, func() (*chain.Chain, error) {
		c, err := login.Extend(ctx, hop)
		var refused *chain.AuthError
		var stranger *chain.HostKeyError
		if errors.As(err, &stranger) || err != nil && !patient && !errors.As(err, &refused) {
			return nil, backoff.Permanent(err)
		}
		return c, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(limit))
}

func parseKeys(lines []string) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	for _, l := range lines {
		// A type of key that we do not know is no reason to do without the others.
		if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l)); err == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errNoHostKeys
	}
	return keys, nil
}

// target opens connections to addr, as seen from the last hop of c.
func target(c *chain.Chain, addr string) forward.Target {
	return func(ctx context.Context) (net.Conn, error) {
		return c.DialContext(ctx, "tcp", addr)
	}
}

// probe asks the server, through the tunnel, whether it answers as it must.
func (s *session) probe(ctx context.Context, addr string) error {
	dial := target(s.node, addr)
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	// The Host that the browser will send.
	base := fmt.Sprintf("http://127.0.0.1:%d", s.listener.Port())
	return s.cfg.App.Probe(ctx, client, strings.TrimSuffix(base, "/"))
}
