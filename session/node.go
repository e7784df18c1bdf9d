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
	"github.com/alps-tunnel/cscs/slurm"
)

// admission is for how long a node may refuse us because its pam_slurm_adopt has
// not heard of the job yet.
const admission = 15 * time.Second

// dialNode makes the last hop, while the server starts. The node's host keys are
// those that the runner read there: nothing is asked, nothing is trusted blindly
// (invariant I7).
func (s *session) dialNode(work context.Context, a slurm.Alive) {
	if s.node != nil {
		return // the runner was started again
	}
	s.work.Go(func() {
		keys, err := parseKeys(a.HostKeys)
		var c *chain.Chain
		if err == nil {
			hop := s.cfg.NodeHop(a.Node, chain.PinnedKeys(keys...))
			c, err = dialAdmitted(work, s.chain, hop)
		}
		if sendErr := s.send(work, nodeDialled{c, err}); sendErr != nil && c != nil {
			_ = c.Close()
		}
	})
}

// dialAdmitted dials the node, again for a while if it lets nobody in.
func dialAdmitted(ctx context.Context, login *chain.Chain, hop chain.Hop) (*chain.Chain, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 200*time.Millisecond, 2*time.Second
	return backoff.Retry(ctx, func() (*chain.Chain, error) {
		c, err := login.Extend(ctx, hop)
		var refused *chain.AuthError
		if err != nil && !errors.As(err, &refused) {
			return nil, backoff.Permanent(err)
		}
		return c, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(admission))
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
