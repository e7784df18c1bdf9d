package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/slurm"
)

// ErrInterrupted is the cause of the end of Run's context if the user asks for the end.
var ErrInterrupted = errors.New("interrupted")

// ErrStopped is that cause if another process of the user asks for the end (cscs stop).
var ErrStopped = errors.New("stopped from elsewhere")

// ErrDetached is that cause if the session should go on without this process.
var ErrDetached = errors.New("detached")

// NoForwardingError reports that the node's sshd accepts the login, but opens no connections:
// AllowTcpForwarding, PermitOpen or DisableForwarding in its sshd_config(5).
type NoForwardingError struct {
	Node string
	Err  *chain.OpenError
}

func (e *NoForwardingError) Error() string {
	return fmt.Sprintf("sshd on %s forwards no connections: %v", e.Node, e.Err)
}

func (e *NoForwardingError) Unwrap() error { return e.Err }

// NodeError reports that no way leads to the node though the job runs there.
type NodeError struct {
	Node string
	SSH  error // why not by the node's own sshd
	Step error // why not by the sshd of a job step
}

func (e *NodeError) Error() string {
	return fmt.Sprintf("reach %s, where the job runs: %v; through a job step: %v", e.Node, e.SSH, e.Step)
}

// StartTimeoutError reports that the server was not ready in time.
type StartTimeoutError struct {
	Node    string
	Waited  time.Duration
	Waiting string                 // "it to listen on port 31234", …
	Shell   *slurm.LoginShellError // the login shell that has not started the server, if that is why
	Others  []string               // addresses of the user's other new listeners
}

func (e *StartTimeoutError) Error() string {
	server := "the server"
	if e.Node != "" {
		server += " on " + e.Node
	}
	return fmt.Sprintf("%s was not ready within %s: waited for %s", server, e.Waited, e.Waiting)
}

// ProbeError reports that the server answered the probe, but not as it should.
type ProbeError struct {
	Node string
	Err  error
}

func (e *ProbeError) Error() string { return fmt.Sprintf("the server on %s: %v", e.Node, e.Err) }
func (e *ProbeError) Unwrap() error { return e.Err }

// TeardownError reports that a job may be left behind, and how to remove it.
type TeardownError struct {
	Job     string // its number, if known
	Name    string // its name
	Cluster string
	Host    string        // the login node
	Lease   time.Duration // after which the job ends by itself; 0: never
	Err     error
}

func (e *TeardownError) Error() string {
	return e.What() + " may still be there: " + e.Err.Error()
}

// What names the job.
func (e *TeardownError) What() string {
	job := e.Name
	if e.Job != "" {
		job += " (" + e.Job + ")"
	}
	return "job " + job + " on " + e.Cluster
}
func (e *TeardownError) Unwrap() error { return e.Err }

// Command returns the command that ends the job by hand.
func (e *TeardownError) Command() string {
	return fmt.Sprintf("scancel --name=%s on %s", e.Name, e.Host)
}

// NotYoursError reports that the listener on the node's port is not the user's, or that others can
// reach it. Nothing is forwarded to it.
type NotYoursError struct {
	Node  string
	Port  int
	Owner string // "": it is the user's own, but bound to Bound
	Bound string
}

func (e *NotYoursError) Error() string {
	if e.Owner != "" {
		return fmt.Sprintf("port %d on %s belongs to another user, %s", e.Port, e.Node, e.Owner)
	}
	return fmt.Sprintf("the server on port %d of %s listens on %s, where others can reach it", e.Port, e.Node, e.Bound)
}

// NothingListensError reports that nothing listens on the port of a tunnel's server.
type NothingListensError struct {
	Node string
	Port int
}

func (e *NothingListensError) Error() string {
	return fmt.Sprintf("nothing listens on port %d of %s", e.Port, e.Node)
}
