package slurm

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Node is a compute node, the target of a tunnel.
type Node struct {
	Name     string
	Job      string
	HostKeys []string // in the form of authorized_keys(5)
	Scanned  bool     // the keys come from a scan by the login node, not from its ssh_known_hosts

	// Find sets Jobs to the user's jobs that are known to run there. Runs is the requested job, or
	// the only one. Runs has no ID if there is none, or if it is unknown which of several is meant.
	Jobs []JobInfo
	Runs JobInfo
}

// Find asks the login node for a node and its host keys. The node is node or the first node of the
// user's job. With neither, it is the node of the user's only running job. The answer has the job
// with its time limit, or, for a node, all of the user's jobs there.
//
// Find returns *JobEndedError for a job that does not run, and *WhichJobError if no job is named
// and not exactly one runs. It returns *RemoteError of kind "nonode", with the node's name, if no
// sshd answers there.
func Find(ctx context.Context, remote Remote, job, node string) (Node, error) {
	v := new(vars)
	v.setValue("cscs_job", job)
	v.setValue("cscs_node", node)
	n := Node{Name: node, Job: job}
	var mine []Found
	c := call{verb: "find", vars: v, handle: func(l line) error {
		switch l.kind {
		case "where":
			if err := checkRunning(cmp.Or(job, l.get("job")), l.get("answer")); err != nil {
				return err
			}
			n.addJob(l)
		case "mine":
			f := parseFound(line{kind: "session", fields: []string{"job=" + l.get("answer")}})
			if f.Job != "" {
				mine = append(mine, f)
			}
		case "on":
			n.addJob(l)
		case "which":
			return &WhichJobError{Jobs: mine}
		case "node":
			n.Name = l.get("node")
		case "hostkey":
			n.Scanned = l.get("from") == "scan"
			n.HostKeys = append(n.HostKeys, l.get("key"))
		}
		return nil
	}}
	err := c.runToEnd(ctx, remote, "found")
	if len(n.Jobs) == 1 {
		n.Runs = n.Jobs[0]
	}
	return n, err
}

// addJob adds the running job of a line with squeue's %T|%N|%u|%e|%S.
func (n *Node) addJob(l line) {
	f := strings.Split(l.get("answer"), "|")
	if len(f) < 5 || f[0] != "RUNNING" {
		return
	}
	job := JobInfo{ID: jobOf(l.get("job")), State: f[0], Ends: unixTime(f[3]), Begins: unixTime(f[4])}
	job.Nodes, _ = Hostlist(f[1])
	n.Jobs = append(n.Jobs, job)
}

// LastToEnd returns the job on the node that ends last; the zero JobInfo if none is known. A job
// without a time limit ends last.
func (n Node) LastToEnd() JobInfo {
	var last JobInfo
	for _, job := range n.Jobs {
		if last.ID == "" || !last.Ends.IsZero() && (job.Ends.IsZero() || job.Ends.After(last.Ends)) {
			last = job
		}
	}
	return last
}

// WhichJobError reports that no job was named and that not exactly one runs.
type WhichJobError struct {
	Jobs []Found // the user's running and pending jobs
}

// Running returns the jobs that run.
func (e *WhichJobError) Running() []Found {
	return slices.DeleteFunc(slices.Clone(e.Jobs), func(f Found) bool { return f.State != "RUNNING" })
}

// Error names the running jobs; if none runs, the pending ones with their reasons.
func (e *WhichJobError) Error() string {
	running := e.Running()
	if len(running) == 0 {
		s := "no job of yours runs"
		for _, f := range e.Jobs {
			s += fmt.Sprintf("; job %s is %s", f.Job, strings.ToLower(f.State))
			if f.Reason != "" {
				s += " (" + f.Reason + ")"
			}
		}
		return s
	}
	var parts []string
	for _, f := range running {
		part := "job " + f.Job
		if len(f.Nodes) > 0 {
			part += " on " + f.Nodes[0]
		}
		if !f.Ends.IsZero() {
			part += " until " + f.Ends.Local().Format("Mon 2 Jan 15:04")
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("%d jobs of yours run: %s", len(running), strings.Join(parts, ", "))
}

// A Doubt is a reason to ask Slurm whether a job has ended.
type Doubt string

const (
	ServerGone Doubt = "look" // its server no longer listens, or its node does not answer
	NodeLost   Doubt = "lost" // the connection to its node broke
)

// WatchJob calls handle with a running job: at once, when its time limit changes, and when it has
// ended. Then it returns nil. The login node asks Slurm once a minute, and a few times more when it
// receives a doubt. For ServerGone it does so at most once a minute (invariant I9). WatchJob
// returns *RemoteError, ErrCut, an error of handle's, or the error of the connection.
func WatchJob(ctx context.Context, remote Remote, job string, doubts <-chan Doubt, handle func(JobInfo) error) error {
	v := new(vars)
	v.setValue("cscs_job", job)
	over := false
	c := call{verb: "watchjob", vars: v, handle: func(l line) error {
		if l.kind != "job" {
			return nil
		}
		info := parseJobInfo(l.get("info"))
		if info.ID == "" {
			info.ID = job
		}
		over = !info.Runs()
		return handle(info)
	}}
	err := c.runWithInput(ctx, remote, func(ctx context.Context, w io.Writer) {
		for {
			select {
			case doubt := <-doubts:
				if _, err := io.WriteString(w, string(doubt)+"\n"); err != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	if err == nil && !over {
		err = ErrCut
	}
	return err
}

// A Runner is the place of a session, as its runner has reported it.
type Runner struct {
	Node
	Up   bool // it has started and not ended
	Over bool // it has ended
}

// FindRunner asks the login node for the node of a session. It does not ask Slurm. It returns
// *RemoteError, of kind "gone" if the cluster has no such session.
func FindRunner(ctx context.Context, remote Remote, id string) (Runner, error) {
	v := new(vars)
	v.setID(id)
	var r Runner
	c := call{verb: "find", vars: v, handle: func(l line) error {
		switch e := l.toEvent().(type) {
		case Alive:
			r.Node = Node{Name: e.Node, Job: e.Job, HostKeys: e.HostKeys}
		case Scanned:
			r.HostKeys = append(r.HostKeys, e.HostKeys...)
		case Exited:
			r.Over = true
		}
		return nil
	}}
	if err := c.runToEnd(ctx, remote, "found"); err != nil {
		return r, err
	}
	r.Up = r.Name != "" && !r.Over
	return r, nil
}

// checkRunning returns *JobEndedError unless answer, squeue's on the job, reports RUNNING.
func checkRunning(job, answer string) error {
	state, _, ok := strings.Cut(answer, "|")
	switch {
	case !ok:
		e := &JobEndedError{Job: job, Explained: "is not in the queue"}
		if said := cleanMessage(answer); said != "" {
			e.Explained += ": " + said
		}
		return e
	case state != "RUNNING":
		return &JobEndedError{Job: job, State: state, Explained: "is not running (" + strings.ToLower(state) + ")"}
	}
	return nil
}
