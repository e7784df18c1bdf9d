package session

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/slurm"
)

// ProxyConfig is what another ssh client needs to get to a session's node.
type ProxyConfig struct {
	ID      string // or the beginning of one
	Whole   bool   // it is all of it: the cluster is not asked what there is
	Ready   bool   // its node was reached before: a refusal is believed at once
	Lives   bool   // and is now, by a process of this machine: it need not be tried
	Step    bool   // which goes by a step of the job
	Cluster string // as errors name it

	Dial    func(context.Context) (*share.Chain, error) // to the login node
	NodeHop func(node string, keys chain.HostKeys) chain.Hop

	// Known is told the node and the host keys that the client will see, as lines of
	// authorized_keys(5), before it sees the first byte.
	Known func(node string, keys []string) error
	Note  func(message string) // what the user should know
}

// NoNodeError tells that a session has no node yet.
type NoNodeError struct{ ID string }

func (e *NoNodeError) Error() string {
	return "session " + e.ID + " has no node yet: its job waits, or has just begun"
}

// Proxy connects in and out with the sshd of a session's node, and returns when both
// directions have ended. The end of each is handed on by itself: in's is the end of what the
// node hears, the node's closes out.
//
// The node is entered by us first, so that why it is closed is told in words; but not where
// another process is there now, and the same way is taken. If it is closed though the job
// runs there, the client is given an sshd of the session's own, in a step of the job
// (slurm.Entrance), which lets in the same key.
//
// Errors: *NotThereError, *NoNodeError, *NodeError, ErrOwnerLeft, those of the chain, *slurm.RemoteError; the cause of ctx.
func Proxy(ctx context.Context, cfg ProxyConfig, in io.Reader, out io.WriteCloser) error {
	c, err := cfg.Dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	id := cfg.ID
	if !cfg.Whole {
		found, _, err := slurm.List(ctx, c)
		if err != nil {
			return err
		}
		f, err := pickSession(found, cfg.ID, cfg.Cluster)
		if err != nil {
			return err
		}
		id = f.ID
	}
	r, err := slurm.FindRunner(ctx, c, id)
	var remote *slurm.RemoteError
	switch {
	case errors.As(err, &remote) && remote.Kind == "gone", err == nil && r.Over:
		return &NotThereError{Prefix: id, Cluster: cfg.Cluster}
	case err != nil:
		return err
	case !r.Up:
		return &NoNodeError{ID: id}
	}
	conn, keys, err := cfg.enterNode(ctx, c, id, r.Node)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := cfg.Known(r.Name, keys); err != nil {
		return err
	}
	var leaving sync.WaitGroup
	defer leaving.Wait()
	carrying, end := context.WithCancelCause(ctx)
	defer end(nil)
	leaving.Go(func() {
		select {
		case <-c.Leaving():
			cfg.Note("the process whose connection this one shares is ending, and this one ends with it")
		case <-carrying.Done():
			return
		}
		grace := time.NewTimer(leaveGrace)
		defer grace.Stop()
		select {
		case <-grace.C:
			end(ErrOwnerLeft)
		case <-carrying.Done():
		}
	})
	return copyBothWays(carrying, c, conn, in, out)
}

// ErrOwnerLeft is the end of a connection because the process that owns what it runs over
// has ended.
var ErrOwnerLeft = errors.New("the process whose connection it shared has ended")

// leaveGrace is how long a process that wants to leave is kept waiting: what runs over its
// connection cannot be moved to another, and would break in the end all the same.
const leaveGrace = 3 * time.Second

// proxyAdmission is for a node whose PAM has not heard of the job yet, as the runner was
// there a moment ago.
const proxyAdmission = 1500 * time.Millisecond

// enterNode opens the way to the node's sshd, or to one of the session's own, and tells the
// host keys that it has.
func (cfg *ProxyConfig) enterNode(ctx context.Context, c *share.Chain, id string, node slurm.Node) (net.Conn, []string, error) {
	keys, err := parseKeys(node.HostKeys)
	switch {
	case cfg.Lives && cfg.Step:
		conn, key, err := cfg.enterStep(ctx, c, id, node)
		return conn, []string{key}, err
	case cfg.Lives && err == nil:
		conn, err := c.DialContext(ctx, "tcp", cfg.NodeHop(node.Name, nil).Addr)
		return conn, node.HostKeys, err
	case err == nil:
		hop := cfg.NodeHop(node.Name, chain.PinnedKeys(keys...))
		var probe *chain.Chain
		hold := retryPolicy{first: 500 * time.Millisecond, most: time.Second, limit: proxyAdmission, again: mayAdmit}
		if cfg.Ready {
			hold.again = func(error) bool { return false }
		}
		probe, err = dialAdmitted(ctx, c, hop, hold, acceptNode)
		if err == nil {
			_ = probe.Close()
			conn, err := c.DialContext(ctx, "tcp", hop.Addr)
			return conn, node.HostKeys, err
		}
	}
	if !turnedAway(err, false) || c.Err() != nil {
		return nil, nil, err
	}
	conn, key, stepErr := cfg.enterStep(ctx, c, id, node)
	if stepErr != nil {
		return nil, nil, &NodeError{Node: node.Name, SSH: err, Step: stepErr}
	}
	return conn, []string{key}, nil
}

// enterStep opens the other way.
func (cfg *ProxyConfig) enterStep(ctx context.Context, c *share.Chain, id string, node slurm.Node) (net.Conn, string, error) {
	var o jobStepTransport
	if err := o.ensureKeys(); err != nil {
		return nil, "", err
	}
	user := cfg.NodeHop(node.Name, chain.PinnedKeys(o.host.PublicKey())).Signer.PublicKey()
	if cert, ok := user.(*ssh.Certificate); ok {
		user = cert.Key // no authority is known to the step's sshd
	}
	line := func(key ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) }
	conn, err := slurm.SSHDStep{
		ID: id, Job: node.Job, Node: node.Name, HostKey: o.hostKey, UserKey: line(user), ExternalClient: true,
	}.Open(ctx, c)
	return conn, line(o.host.PublicKey()), err
}

// An ending is what carries a connection, and may end before it.
type ending interface {
	Done() <-chan struct{}
	Err() error
}

// copyBothWays carries bytes both ways. Reading in cannot be interrupted: when the connection is
// lost, or ctx ends, it is left behind.
func copyBothWays(ctx context.Context, c ending, conn net.Conn, in io.Reader, out io.WriteCloser) error {
	up, down := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(up)
		_, _ = io.Copy(conn, in) // if it fails the node has hung up; its last words are on their way down
		if cw, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = cw.CloseWrite()
		}
	}()
	go func() {
		_, err := io.Copy(out, conn)
		_ = out.Close()
		down <- err
	}()
	for up != nil || down != nil {
		select {
		case <-up:
			up = nil
		case err := <-down:
			if down = nil; err != nil {
				return err
			}
		case <-c.Done():
			return c.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
