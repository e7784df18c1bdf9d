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

// ProxyConfig is what Proxy needs to connect another ssh client to a session's node.
type ProxyConfig struct {
	ID      string // or a prefix of it
	Whole   bool   // ID is complete: the cluster is not asked for its sessions
	Ready   bool   // the node was reached before, so one refusal is final
	Lives   bool   // a process of this machine reaches the node now, so it need not be tried
	Step    bool   // that process uses a job step
	Cluster string // as errors name it

	Dial    func(context.Context) (*share.Chain, error) // to the login node
	NodeHop func(node string, keys chain.HostKeys) chain.Hop

	// Known is called with the node and the host keys that the client will see, as lines of
	// authorized_keys(5), before the client gets the first byte.
	Known func(node string, keys []string) error
	Note  func(message string) // tells the user something
}

// NoNodeError reports that a session has no node yet.
type NoNodeError struct{ ID string }

func (e *NoNodeError) Error() string {
	return "session " + e.ID + " has no node yet: its job waits, or has just started"
}

// Proxy connects in and out with the sshd of a session's node. It returns when both directions have
// ended. It forwards the end of each direction separately: the end of in ends the node's input, and
// the end of the node's output closes out.
//
// Proxy first logs in to the node itself, so that it can report why a login fails. It does not if
// another process reaches the node the same way at this moment. If the node refuses the login
// though the job runs there, the client gets the sshd of a job step (slurm.SSHDStep), which accepts
// the same key.
//
// Errors: *NotThereError, *NoNodeError, *NodeError, ErrSharingProcessLeft, *slurm.RemoteError,
// those of the chain, and the cause of ctx.
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
			end(ErrSharingProcessLeft)
		case <-carrying.Done():
		}
	})
	return copyBothWays(carrying, c, conn, in, out)
}

// ErrSharingProcessLeft reports that the connection ended because the sharing process of its shared
// chain has ended.
var ErrSharingProcessLeft = errors.New("the process whose connection it shared has ended")

// leaveGrace is how long a sharing process that wants to end has to wait. A connection cannot move
// to another chain, so it would break anyway.
const leaveGrace = 3 * time.Second

// proxyAdmission is how long a node may refuse the client: its PAM may not know the job yet,
// because the runner has just started.
const proxyAdmission = 1500 * time.Millisecond

// enterNode connects to the node's sshd, or to that of a job step, and returns its host keys.
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

// enterStep connects to the sshd of a job step, and returns its host key.
func (cfg *ProxyConfig) enterStep(ctx context.Context, c *share.Chain, id string, node slurm.Node) (net.Conn, string, error) {
	var o jobStepTransport
	if err := o.ensureKeys(); err != nil {
		return nil, "", err
	}
	user := cfg.NodeHop(node.Name, chain.PinnedKeys(o.host.PublicKey())).Signer.PublicKey()
	if cert, ok := user.(*ssh.Certificate); ok {
		user = cert.Key // the step's sshd knows no certificate authority
	}
	line := func(key ssh.PublicKey) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) }
	conn, err := slurm.SSHDStep{
		ID: id, Job: node.Job, Node: node.Name, HostKey: o.hostKey, UserKey: line(user), ExternalClient: true,
	}.Open(ctx, c)
	return conn, line(o.host.PublicKey()), err
}

// An ending is a connection that carries another one, and may end before it.
type ending interface {
	Done() <-chan struct{}
	Err() error
}

// copyBothWays copies bytes in both directions. A Read of in cannot be interrupted: when c or ctx
// ends, copyBothWays returns and leaves it pending.
func copyBothWays(ctx context.Context, c ending, conn net.Conn, in io.Reader, out io.WriteCloser) error {
	up, down := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(up)
		_, _ = io.Copy(conn, in) // an error means that the node has hung up; its last output still arrives
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
