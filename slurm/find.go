package slurm

import (
	"context"
	"strings"
)

// A Node is a compute node that a tunnel can go to.
type Node struct {
	Name     string
	Job      string
	HostKeys []string // as lines of authorized_keys(5) have them
	Scanned  bool     // the keys are from a scan by the login node, not from its ssh_known_hosts
}

// Find asks the login node for the host keys of node, or of the first node of the
// user's running job. It returns *JobEndedError for a job that does not run, and
// *RemoteError: of kind "nonode", with the node's name, if it has no sshd that answers.
func Find(ctx context.Context, remote Remote, job, node string) (Node, error) {
	v := new(vars)
	v.set("cscs_job", job)
	v.set("cscs_node", node)
	n := Node{Name: node, Job: job}
	found := false
	c := call{verb: "find", vars: v, handle: func(l line) error {
		switch l.kind {
		case "where":
			return checkRunning(job, l.get("answer"))
		case "node":
			n.Name = l.get("node")
		case "hostkey":
			n.Scanned = l.get("from") == "scan"
			n.HostKeys = append(n.HostKeys, l.get("key"))
		case "found":
			found = true
		}
		return nil
	}}
	if err := c.run(ctx, remote); err != nil {
		return n, err
	}
	if !found {
		return n, &RemoteError{Kind: "protocol", Message: "the login node's answer was cut short"}
	}
	return n, nil
}

// A Runner is where a session runs, as its runner has said itself.
type Runner struct {
	Node
	Up   bool // it has begun, and has not ended
	Over bool // it has ended
}

// FindRunner asks the login node for the node of a session. Slurm is not asked. It
// returns *RemoteError, of kind "gone" if the cluster has nothing of such a session.
func FindRunner(ctx context.Context, remote Remote, id string) (Runner, error) {
	v := new(vars)
	v.setID(id)
	var r Runner
	complete := false
	c := call{verb: "find", vars: v, handle: func(l line) error {
		switch e := l.event().(type) {
		case Alive:
			r.Node = Node{Name: e.Node, Job: e.Job, HostKeys: e.HostKeys}
		case Scanned:
			r.HostKeys = append(r.HostKeys, e.HostKeys...)
		case Exited:
			r.Over = true
		}
		complete = complete || l.kind == "found"
		return nil
	}}
	if err := c.run(ctx, remote); err != nil {
		return r, err
	}
	if !complete {
		return r, &RemoteError{Kind: "protocol", Message: "the login node's answer was cut short"}
	}
	r.Up = r.Name != "" && !r.Over
	return r, nil
}

func checkRunning(job, answer string) error {
	state, _, ok := strings.Cut(answer, "|")
	switch {
	case !ok:
		e := &JobEndedError{Job: job, Explained: "is not in the queue"}
		if said := clean(answer); said != "" {
			e.Explained += ": " + said
		}
		return e
	case state != "RUNNING":
		return &JobEndedError{Job: job, State: state, Explained: "is not running (" + strings.ToLower(state) + ")"}
	}
	return nil
}
