package slurm

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Node is a compute node that a tunnel can go to.
type Node struct {
	Name     string
	Job      string
	HostKeys []string // as lines of authorized_keys(5) have them
	Scanned  bool     // the keys are from a scan by the login node, not from its ssh_known_hosts

	// Of Find: Jobs are the user's that are known to run there. Runs is the one that was asked for, or the
	// only one; without an ID: none, or it is not known which of several is meant.
	Jobs []JobInfo
	Runs JobInfo
}

// Find asks the login node for a node and its host keys: node, or the first node of the user's job, or,
// with neither, that of the only job of the user's that runs. The answer has the job with its time limit;
// of a node, all jobs of the user's there.
//
// It returns *JobEndedError for a job that does not run, *WhichJobError if several run or none, and
// *RemoteError: of kind "nonode", with the node's name, if it has no sshd that answers.
func Find(ctx context.Context, remote Remote, job, node string) (Node, error) {
	v := new(vars)
	v.setValue("cscs_job", job)
	v.setValue("cscs_node", node)
	n := Node{Name: node, Job: job}
	var mine []Found
	found := false
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
		case "found":
			found = true
		}
		return nil
	}}
	err := c.run(ctx, remote)
	if len(n.Jobs) == 1 {
		n.Runs = n.Jobs[0]
	}
	if err != nil {
		return n, err
	}
	if !found {
		return n, &RemoteError{Kind: "protocol", Message: "the login node's answer was cut short"}
	}
	return n, nil
}

// addJob reads squeue's %T|%N|%u|%e|%S of a job that runs.
func (n *Node) addJob(l line) {
	f := strings.Split(l.get("answer"), "|")
	if len(f) < 5 || f[0] != "RUNNING" {
		return
	}
	job := JobInfo{ID: jobOf(l.get("job")), State: f[0], Ends: unixTime(f[3]), Begins: unixTime(f[4])}
	if nodes, err := Hostlist(f[1]); err == nil {
		job.Nodes = nodes
	}
	n.Jobs = append(n.Jobs, job)
}

// LastToEnd is the job on the node that ends last; the zero JobInfo if none is known. A job without a time
// limit ends last.
func (n Node) LastToEnd() JobInfo {
	var last JobInfo
	for _, job := range n.Jobs {
		if last.ID == "" || !last.Ends.IsZero() && (job.Ends.IsZero() || job.Ends.After(last.Ends)) {
			last = job
		}
	}
	return last
}

// WhichJobError tells that no job was named, and that not exactly one runs.
type WhichJobError struct {
	Jobs []Found // the user's, those that run and those that wait
}

// Running are those that run.
func (e *WhichJobError) Running() []Found {
	return slices.DeleteFunc(slices.Clone(e.Jobs), func(f Found) bool { return f.State != "RUNNING" })
}

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

// A Doubt is why a job may have ended.
type Doubt string

const (
	ServerGone Doubt = "look" // its server does not listen any more, or its node does not answer
	NodeLost   Doubt = "lost" // the connection to its node broke
)

// WatchJob tells of a job that runs: at once, whenever its time limit changes, and when it has ended,
// after which it returns nil. The login node asks Slurm once a minute, and a few times when look says
// that the job may have ended: for ServerGone once a minute at most (invariant I9). It returns
// *RemoteError, or the error of the connection.
func WatchJob(ctx context.Context, remote Remote, job string, look <-chan Doubt, handle func(JobInfo) error) error {
	v := new(vars)
	v.setValue("cscs_job", job)
	stdin, feed := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		defer feed.Close()
		for {
			select {
			case doubt := <-look:
				if _, err := io.WriteString(feed, string(doubt)+"\n"); err != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { cancel(); stdin.Close(); <-asked }()
	over := false
	c := call{verb: "watchjob", vars: v, stdin: stdin, handle: func(l line) error {
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
	if err := c.run(ctx, remote); err != nil {
		return err
	}
	if !over {
		return ErrCut
	}
	return nil
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
		switch e := l.toEvent().(type) {
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
		if said := cleanMessage(answer); said != "" {
			e.Explained += ": " + said
		}
		return e
	case state != "RUNNING":
		return &JobEndedError{Job: job, State: state, Explained: "is not running (" + strings.ToLower(state) + ")"}
	}
	return nil
}
