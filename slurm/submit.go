package slurm

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Submission is one session as the cluster has it: the request, and how far the client has read
// its events. A new Submit or Follow supersedes the one that is running.
type Submission struct {
	ID      string // ID of the session
	Request Request
	Launch  Launch
	Client  string        // this client's name in lists of sessions; "": it is not listed
	Lease   time.Duration // how long the job may run without a heartbeat, in whole seconds; 0: forever

	commands commands
	mu       sync.Mutex
	turn     int   // number of the Submit or Follow that reads
	offset   int64 // bytes of the session's event file that were handled
	job      string
	granted  bool
	outcome  Outcome
}

// renewals is the number of renewals during one lease, the first one at once. maxRenewal is the
// maximum time between two renewals.
const (
	renewals   = 4
	maxRenewal = 30 * time.Second
)

// renewalPeriod returns the time between two renewals of a lease.
func renewalPeriod(lease time.Duration) time.Duration { return min(lease/renewals, maxRenewal) }

// sendClientMessages writes the client's commands and heartbeats to w, until ctx ends or the request
// is withdrawn. Each heartbeat is a number that differs from the one before. The first is random,
// so that two clients of a session do not write the same number by chance.
func sendClientMessages(ctx context.Context, commands *commands, w io.Writer, lease time.Duration) {
	var tick <-chan time.Time
	n := rand.Uint32N(1e9) //nolint:gosec // no secret
	if lease > 0 {
		t := time.NewTicker(renewalPeriod(lease))
		defer t.Stop()
		tick = t.C
		// The first is sent at once: a client may reconnect in the last moment of the lease.
		if _, err := io.WriteString(w, strconv.FormatUint(uint64(n), 10)+"\n"); err != nil {
			return
		}
	}
	detach := commands.detach.done()
	for {
		var line string
		select {
		case <-ctx.Done():
			return
		case <-commands.withdraw.done():
			// The end of standard input would mean the same, but this client awaits the answer.
			_, _ = io.WriteString(w, "stop\n")
			return
		case <-detach:
			line, detach = "detach", nil
		case <-tick:
			n++
			line = strconv.FormatUint(uint64(n), 10)
		}
		if _, err := io.WriteString(w, line+"\n"); err != nil {
			return
		}
	}
}

// Outcome describes how a submission ended.
type Outcome struct {
	Exited    *Exited  // the runner's last report; nil: none
	Job       *JobInfo // Slurm's last answer; nil: Slurm was not asked
	Withdrawn bool     // the pending request was taken back
	Detached  bool     // the session continues without this client, by Detach
	Served    bool     // the server has listened
	node      string
	job       string // the withdrawn job
}

// ErrCut reports that the remote half ended on the login node, though neither the session nor the
// connection did: a user or the system killed it. Follow resumes the session.
var ErrCut = errors.New("our command on the login node has ended")

// Submit requests the allocation, has the server started in it and passes each event to handle, one
// after the other. It returns when the session ends on the cluster, the connection or ctx ends, or
// an order (Withdraw, Detach) has been carried out.
//
// Submit returns *RefusedError, *NeverStartsError, *LoginShellError, *StepError, *RemoteError,
// ErrCut, an error of handle's, or the error of the connection.
func (s *Submission) Submit(ctx context.Context, remote Remote, handle func(Event) error) (Outcome, error) {
	v := new(vars)
	s.Request.writeVars(v)
	s.Launch.writeVars(v)
	return s.callRemote(ctx, remote, "submit", v, handle)
}

// Follow resumes the session over another connection, where the last one ended: no event is lost or
// comes twice. A client that attaches to the session needs only its ID and lease. Otherwise Follow
// is like Submit.
func (s *Submission) Follow(ctx context.Context, remote Remote, handle func(Event) error) (Outcome, error) {
	v := new(vars)
	s.mu.Lock()
	v.setValue("cscs_from", strconv.FormatInt(s.offset, 10))
	v.setValue("cscs_job", s.job)
	v.setFlag("cscs_granted", s.granted)
	s.mu.Unlock()
	return s.callRemote(ctx, remote, "follow", v, handle)
}

// callRemote runs the verb with this submission's variables, heartbeats and commands.
func (s *Submission) callRemote(ctx context.Context, remote Remote, verb string, v *vars, handle func(Event) error) (Outcome, error) {
	s.mu.Lock()
	s.turn++
	turn := s.turn
	s.mu.Unlock()
	v.setID(s.ID)
	v.setValue("cscs_lease", formatSeconds(s.Lease))
	v.setValue("cscs_client_name", s.Client)
	c := call{verb: verb, vars: v, handle: func(l line) error { return s.takeLine(turn, l, handle) }}
	err := c.runWithInput(ctx, remote, func(ctx context.Context, w io.Writer) {
		sendClientMessages(ctx, &s.commands, w, s.Lease)
	})
	s.mu.Lock()
	out := s.outcome
	s.mu.Unlock()
	if err == nil && !out.hasEnded() && !s.commands.withdraw.isSet() { // otherwise it ended by a command
		err = ErrCut
	}
	return out, err
}

var errSuperseded = errors.New("the session is followed over another connection")

// takeLine handles one line and counts its bytes. After an error, the next reader gets it again.
func (s *Submission) takeLine(turn int, l line, handle func(Event) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if turn != s.turn {
		return errSuperseded
	}
	if err := s.handleLine(l, handle); err != nil {
		return err
	}
	s.offset += l.size
	return nil
}

// handleLine records what a line reports, and passes its event to handle. It returns the error of a
// line that ends the submission.
func (s *Submission) handleLine(l line, handle func(Event) error) error {
	switch l.kind {
	case "refused":
		return &RefusedError{Message: refusalMessage(l), Accounts: strings.Fields(l.get("accounts")), Unsure: l.get("left") != "",
			Request: s.Request, Partitions: parseOffer(l)}
	case "swept":
		if !l.isListed() {
			return nil
		}
		return handle(parseSwept(l))
	case "startup":
		if e := loginShellError(l); e != nil {
			return e
		}
	case "withdrawn":
		s.outcome.Withdrawn, s.outcome.job = true, l.get("job")
	case "detached":
		s.outcome.Detached = true
	case "stepfailed":
		return &StepError{Job: s.job, Message: cleanMessage(l.get("message")), OutOfReach: l.get("reach") == "none"}
	case "restart":
		s.offset = 0
	case "gone":
		return &RemoteError{Kind: "gone", Message: "the session's directory no longer exists on the cluster"}
	}
	e := l.toEvent()
	switch e := e.(type) {
	case nil:
		return nil
	case Queued:
		if NeverStarts(e.Reason) {
			return &NeverStartsError{Job: e.Job, Reason: e.Reason, Explained: e.Explained, Accounts: strings.Fields(l.get("accounts")),
				Request: s.Request, Partitions: parseOffer(l)}
		}
	case Pending:
		s.job = e.Job
	case Granted:
		s.job, s.granted = e.Job.ID, true
	case Requeued:
		s.granted = false
	case Alive:
		s.outcome.node = e.Node
	case Listening:
		s.outcome.Served = true
	case Exited:
		s.outcome.Exited = &e
	case JobState:
		s.outcome.Job = &e.Job
	}
	return handle(e)
}

// hasEnded reports whether the session is over on the cluster, as far as is known, or detached.
func (o Outcome) hasEnded() bool {
	return o.Withdrawn || o.Detached || o.Exited != nil || o.Job != nil && o.Job.isOver()
}

func refusalMessage(l line) string {
	if m := cleanMessage(l.get("message")); m != "" {
		return m
	}
	return l.get("by") + " ended with status " + l.get("code")
}

// Asked reports whether a Stop of cscs ended the session: this client's or another's.
func (o Outcome) Asked() bool { return o.Exited != nil && o.Exited.Reason == "asked" }

// Err returns why the session ended on the cluster. It returns nil if the server ended by itself,
// with status 0, after it had served; if the user asked for the end (Asked); or if the session has
// not ended (Detached).
func (o Outcome) Err() error {
	if o.Detached || o.Asked() {
		return nil
	}
	if o.Withdrawn {
		return &JobEndedError{Job: o.job, State: "WITHDRAWN",
			Explained: "was withdrawn while it waited: this machine had given no sign of life for some minutes"}
	}
	if o.Exited == nil || o.Exited.Reason == "term" {
		if o.Job == nil {
			return nil
		}
		job := *o.Job
		if len(job.Nodes) == 0 && o.node != "" {
			job.Nodes = []string{o.node} // Slurm no longer lists it
		}
		if job.State == "FAILED" && job.Exit == unopened {
			return &StepError{Job: job.ID, Message: strings.TrimPrefix(job.itsNode(), "its node ") + " cannot write below the home directory (read-only, full, or not there)"}
		}
		// The runner cancels the job when its server has ended, which hides why Slurm ended it.
		if job.State == "CANCELLED" && o.Exited != nil && o.Exited.Cause != "" {
			job.State = o.Exited.Cause
		}
		return &JobEndedError{Job: job.ID, State: job.State, Explained: job.explainState()}
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
		e.Message = "the server ended with status " + strconv.Itoa(x.Code)
	default:
		e.Message = "the server ended with status " + strconv.Itoa(x.Code) + " before it listened"
	}
	return e
}
