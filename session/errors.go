package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/slurm"
)

// ErrInterrupted is the cause with which Run's context is cancelled when the user
// asks for the end.
var ErrInterrupted = errors.New("interrupted")

// ErrStopped is the cause if it is another process of the user's that asks: cscs stop.
var ErrStopped = errors.New("stopped from elsewhere")

// ErrDetached is the cause if the session shall go on without this process.
var ErrDetached = errors.New("detached")

// NoForwardingError tells that the sshd of the node lets us in, but opens no connections there:
// AllowTcpForwarding, PermitOpen or DisableForwarding in its sshd_config(5).
type NoForwardingError struct {
	Node string
	Err  *chain.OpenError
}

func (e *NoForwardingError) Error() string {
	return fmt.Sprintf("sshd on %s forwards no connections: %v", e.Node, e.Err)
}

func (e *NoForwardingError) Unwrap() error { return e.Err }

// NodeError tells that nothing leads to the node though the job runs there.
type NodeError struct {
	Node string
	SSH  error // why not by its own sshd
	Step error // and why not by one that a step of the job would run
}

func (e *NodeError) Error() string {
	return fmt.Sprintf("reach %s, where the job runs: %v; through a job step: %v", e.Node, e.SSH, e.Step)
}

// StartTimeoutError tells that the server was not ready in time.
type StartTimeoutError struct {
	Node    string
	Waited  time.Duration
	Waiting string                 // for what: "the server to listen on port 31234", …
	Shell   *slurm.LoginShellError // what it is waited for, if it is that
	Others  []string               // addresses on which the user has new listeners instead
}

func (e *StartTimeoutError) Error() string {
	server := "the server"
	if e.Node != "" {
		server += " on " + e.Node
	}
	return fmt.Sprintf("%s was not ready within %s: waited for %s", server, e.Waited, e.Waiting)
}

// ProbeError tells that the server answered, but not as it must.
type ProbeError struct {
	Node string
	Err  error
}

func (e *ProbeError) Error() string { return fmt.Sprintf("the server on %s: %v", e.Node, e.Err) }
func (e *ProbeError) Unwrap() error { return e.Err }

// TeardownError tells that something may be left behind, and how to remove it.
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

// Command says what ends the job by hand.
func (e *TeardownError) Command() string {
	return fmt.Sprintf("scancel --name=%s on %s", e.Name, e.Host)
}

// NotYoursError tells that what listens on the port of the node is not the
// user's, or can be reached by others, so that nothing is forwarded to it.
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

// NothingListensError tells that a tunnel's server is not there.
type NothingListensError struct {
	Node string
	Port int
}

func (e *NothingListensError) Error() string {
	return fmt.Sprintf("nothing listens on port %d of %s", e.Port, e.Node)
}
