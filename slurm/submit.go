package slurm

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// A Submission is everything that one session asks of a cluster.
type Submission struct {
	ID      string // of the session
	Request Request
	Launch  Launch
	Lease   time.Duration // how long the job may run unowned, whole seconds; 0: for ever
}

// renewals is how often a lease is renewed within its time; maxRenewal bounds the
// time between two of them.
const (
	renewals   = 4
	maxRenewal = 30 * time.Second
)

// heartbeat writes the client's sign of life to w until ctx ends or stop is closed.
// Each is a number that the one before was not; another client that has the same
// session open shall not say the same by chance.
func heartbeat(ctx context.Context, stop <-chan struct{}, w io.Writer, lease time.Duration) {
	var tick <-chan time.Time
	if lease > 0 {
		t := time.NewTicker(min(lease/renewals, maxRenewal))
		defer t.Stop()
		tick = t.C
	}
	n := rand.Uint32N(1e9)
	for {
		select {
		case <-ctx.Done():
			return
		case <-stop:
			return
		case <-tick:
			n++
			if _, err := fmt.Fprintln(w, n); err != nil {
				return
			}
		}
	}
}

// Outcome is how a submission ended.
type Outcome struct {
	Exited    *Exited  // what the runner said last; nil: it said nothing
	Job       *JobInfo // what Slurm said last; nil: it was not asked
	Withdrawn bool     // the request was taken back while it was pending
	Served    bool     // the server had been seen to listen
	node      string
}

// Submit asks for the allocation, has the server started in it and hands each
// event to handle, one after the other, until the session ends on the cluster, the
// connection ends or ctx does. Closing withdraw takes a pending request back; one
// that was granted is left to Stop.
//
// It returns *RefusedError, *NeverStartsError, *StepError, *RemoteError, an error
// of handle's, or the error of the connection.
func Submit(ctx context.Context, remote Remote, s Submission, withdraw <-chan struct{}, handle func(Event) error) (Outcome, error) {
	v := new(vars)
	v.set("cscs_id", s.ID)
	v.list("cscs_salloc_args", s.Request.Args())
	s.Launch.vars(v)
	v.set("cscs_lease", seconds(s.Lease))

	stdin, feed := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer feed.Close()
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		heartbeat(ctx, withdraw, feed, s.Lease)
		if ctx.Err() == nil {
			// The end of standard input would say it too, but not of a client that
			// is still there to hear the answer.
			_, _ = io.WriteString(feed, "stop\n")
		}
		feed.Close()
	}()
	defer func() { cancel(); stdin.Close(); <-waited }()

	var out Outcome
	var job string
	c := call{verb: "submit", vars: v, stdin: stdin, handle: func(l line) error {
		switch l.kind {
		case "refused":
			return &RefusedError{Message: refusal(l), Accounts: strings.Fields(l.get("accounts"))}
		case "withdrawn":
			out.Withdrawn = true
		case "stepfailed":
			return &StepError{Job: job, Message: clean(l.get("message"))}
		}
		e := l.event()
		switch e := e.(type) {
		case nil:
			return nil
		case Queued:
			if NeverStarts(e.Reason) {
				return &NeverStartsError{Job: e.Job, Reason: e.Reason, Explained: e.Explained}
			}
		case Granted:
			job = e.Job.ID
		case Alive:
			out.node = e.Node
		case Listening:
			out.Served = true
		case Exited:
			out.Exited = &e
		case JobState:
			out.Job = &e.Job
		}
		return handle(e)
	}}
	err := c.run(ctx, remote)
	return out, err
}

func refusal(l line) string {
	if m := clean(l.get("message")); m != "" {
		return m
	}
	return "salloc ended with status " + l.get("code")
}

// Err says why the session ended on the cluster; nil: the server ended by itself,
// with status 0, after it had served.
func (o Outcome) Err() error {
	if o.Exited == nil || o.Exited.Reason == "term" {
		if o.Job == nil {
			return nil
		}
		return &JobEndedError{Job: o.Job.ID, State: o.Job.State, Explained: o.Job.explainState()}
	}
	x := o.Exited
	if x.Reason == "lease" {
		e := &JobEndedError{State: "LEASE", Explained: "was ended by its own guard: " + x.Message}
		if o.Job != nil {
			e.Job = o.Job.ID
		}
		return e
	}
	e := &ServerError{Node: o.node, Reason: x.Reason, Message: x.Message, Code: x.Code}
	if e.Message != "" {
		return e
	}
	switch {
	case x.Code == 0 && o.Served:
		return nil
	case x.Code > 128 && x.Code <= 128+64:
		e.Message = "the server was killed by " + signalName(x.Code-128)
	case o.Served:
		e.Message = "the server ended with status " + itoa(x.Code)
	default:
		e.Message = "the server ended with status " + itoa(x.Code) + " before it listened"
	}
	return e
}
