package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/slurm"
)

const (
	// elsewhereGrace is how long a server that has opened another port may take to open its own.
	// Many servers have internal ports.
	elsewhereGrace = 5 * time.Second

	refusedPause = time.Minute // between two warnings of refused connections

	stopGrace = 10 * time.Second // between the request to end and the kill of the server

	// teardownTimeout bounds the whole teardown; slurmctld can be busy for a while.
	teardownTimeout = 90 * time.Second
	withdrawTimeout = 20 * time.Second // for taking back a pending request
	hangUpTimeout   = 5 * time.Second  // for the end of the reader of events, if there is a runner that can be asked
	redialTimeout   = 20 * time.Second // for the dial of a chain that ends the job, if the first chain is lost
)

// Run runs one session from beginning to end: the local listener, the chain, the allocation, the
// server and the forward. It takes all of them down again, in whatever state ctx or a failure
// leaves the session. It reports each step to emit, one at a time; the last event is always
// "ended".
//
// Run returns nil if the session ended as asked:
//
//   - The user interrupted it after it was ready (the cause of ctx is ErrInterrupted).
//   - Another process stopped it (ErrStopped).
//   - It was unused for Config.Idle. If other clients attend the session and may use it, only this
//     process leaves it.
//   - The server ended with status 0.
//   - The session goes on without this process (ErrDetached).
//
// It returns ErrInterrupted if the user interrupted the session before it was ready. A
// *TeardownError hides the error that led to it; an event has reported that error.
func Run(ctx context.Context, cfg Config, emit func(Event)) error {
	return newSession(cfg, emit).run(ctx)
}

func newSession(cfg Config, emit func(Event)) *session {
	return &session{sessionCore: newSessionCore(cfg, emit)}
}

func newSessionCore(cfg Config, emit func(Event)) sessionCore {
	return sessionCore{cfg: cfg, out: emitter{id: cfg.ID, cluster: cfg.Cluster, emit: emit},
		messages: make(chan any), notices: make(chan any, 16), login: loginConn{unresponsive: map[string]bool{}}}
}

// An emitter fills in the fields that every event has.
type emitter struct {
	id, cluster string
	emit        func(Event)
	mu          sync.Mutex // the goroutine that dials a hop reports it
}

func (o *emitter) emitEvent(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e.V, e.Time, e.Session, e.Cluster = EventVersion, time.Now().UTC(), o.id, o.cluster
	o.emit(e)
}

func (o *emitter) warn(message string) { o.emitEvent(Event{Event: EventWarning, Message: message}) }

// session is the state of one Run. Only the goroutine of run accesses it; the others send it
// messages.
type session struct {
	sessionCore
	dynamicPorts dynamicPorts
	idle         idleness
	request      request
}

// sessionCore is the part of a session that Tunnel and Stop need too: the events, the connections,
// and what is known of the job and the server.
type sessionCore struct {
	cfg Config
	out emitter

	messages chan any // from the goroutines in work
	notices  chan any // messages from callers that must not block
	work     conc.WaitGroup
	stopWork context.CancelFunc

	listener *forward.Listener
	login    loginConn
	job      jobState
	node     nodeConn
	server   serverState
}

// loginConn is the connection to the login node.
type loginConn struct {
	chain *share.Chain

	dials, dialled   int             // the number of chains dialled so far, and which of them chain is
	unresponsive     map[string]bool // the hops of the chain that do not answer
	lost             bool            // the chain is lost
	leaving          bool            // the chain's sharing process is ending, and another chain is dialled
	lostHop          string          // the hop that was reported as lost or silent; "": none
	keyRejectionTold bool            // the rejection of the key was reported
	stopRedial       context.CancelFunc
	heardAgain       time.Time // when the chain was last replaced, or answered after a silence

	stopRetired context.CancelFunc // ends the wait for the users of a chain that was left
	retired     atomic.Int32       // chains that were left and are still used
	mayRedial   atomic.Bool        // the session can outlive its connection: see canOutliveChain
}

// request is what the login node was asked for, and the reading of the events that follow.
type request struct {
	attached   func(About, slurm.Found) // if set, the client attaches to the session, and has not begun it
	submission *slurm.Submission
	submitted  bool // the request was sent: a job may exist
	greeted    bool // the remote half has begun: it asks Slurm for nothing before
	over       bool // the session has ended on the cluster
	unwritten  bool // the login node cannot write the lease

	stopRead    context.CancelFunc // ends the reader of the events
	readEnd     chan struct{}
	readErr     error
	readBegan   time.Time     // when the last reading began; zero: it has failed
	failedReads int           // consecutive failed readings
	readPauses  time.Duration // the sum of the pauses between them
}

// jobState is the job that the server runs in.
type jobState struct {
	info      slurm.JobInfo
	step      string
	runner    int       // the runner's process ID on the node
	grantedAt time.Time // when the job was granted: the start timeout begins

	kept     bool      // the request waits in Slurm alone
	queued   string    // the job in the last queue report
	reason   string    // its reason
	estimate time.Time // its estimated start
}

// recordEvent records what an event of the submission reports about the job.
func (j *jobState) recordEvent(m any) {
	switch m := m.(type) {
	case slurm.Pending:
		j.info.ID, j.kept = m.Job, m.Kept
	case slurm.Granted:
		j.info = m.Job
	case slurm.Requeued:
		// If another job takes its place, the request is not yet in the queue.
		j.info, j.queued, j.kept = slurm.JobInfo{ID: m.Job}, "", m.Message == ""
	case slurm.Alive:
		j.step, j.runner = m.Job+"."+m.Step, m.PID
	}
}

// nodeConn is the connection to the compute node.
type nodeConn struct {
	chain    *chain.Chain // over that of the login node
	forwards bool         // the node forwards our connections, as far as it was asked

	name          string
	addrs         []string           // addresses of the node that were not tried yet
	addr          string             // the address that is dialled; "": the node's name
	headStart     *headStart         // nil: none, or it was taken
	keys          nodeKeys           // host keys that the runner found on the node
	byStep        jobStepTransport   // to the node by a job step
	lost          bool               // the node was reported as lost or silent
	cancelSilence context.CancelFunc // cancels the wait before that report
}

// serverState is the server on the node.
type serverState struct {
	port         int          // on which the server should listen
	portSeen     atomic.Int64 // port, for other goroutines
	attachedPort int          // the server's port in a session that the client attaches to; 0: not known

	unlaunched *slurm.LoginShellError // why the server has not started yet; nil: no reason is known
	busy       bool                   // the server, while it starts, uses CPU time or writes its log
	overdue    bool                   // the start timeout is over
	toldShared bool                   // the warning that other users can reach the node was reported

	listening   *slurm.Listening   // nil: the server does not listen
	monitor     *slurm.PortMonitor // of port, over the connection to the node
	stopMonitor context.CancelFunc
	stopProbe   context.CancelFunc
	ready       bool
	opened      bool      // the browser was opened, or is being opened
	others      []string  // the user's other new listeners
	refusedAt   time.Time // time of the last warning of refused connections
}

// run runs the session until it ends or is detached, takes it down and reports the end.
func (s *session) run(ctx context.Context) error {
	cause := s.runUntilEnd(ctx)
	if errors.Is(cause, context.Canceled) && ctx.Err() != nil {
		cause = context.Cause(ctx)
	}
	if s.isDetachCause(context.WithoutCancel(ctx), cause) {
		if last, err := s.detachSession(context.WithoutCancel(ctx), cause); !last {
			return err
		}
	}
	if errors.Is(cause, ErrDetached) {
		cause = ErrInterrupted // there is nothing yet that could go on
	}
	stopped := errors.Is(cause, ErrStopped)
	interrupted := stopped || errors.Is(cause, ErrInterrupted)
	var idle *idleError
	unused := errors.As(cause, &idle)
	if s.request.submitted {
		s.out.emitEvent(Event{Event: EventEnding, Reason: s.endReason(cause)})
	}
	log, left := s.tearDown(context.WithoutCancel(ctx))

	switch {
	case left != nil:
		// The error that led here is reported first, what is left behind last.
		if cause != nil && !interrupted && !unused {
			s.reportError(cause, log)
		}
		return s.reportEnd(left, "", log)
	case cause == nil:
		return s.reportEnd(nil, "the server ended", log)
	case unused:
		return s.reportEnd(nil, idle.Error()+s.jobEndedText(), log)
	case stopped:
		s.out.emitEvent(endEvent(ErrStopped.Error()+s.jobEndedText(), 0, log, true))
		return nil
	case interrupted && s.server.ready:
		return s.reportEnd(nil, "ended as asked"+s.jobEndedText(), log)
	case interrupted:
		x := s.cfg.Explain(cause)
		s.out.emitEvent(endEvent(x.Message+s.jobEndedText(), x.Code, log, false))
		return cause
	default:
		return s.reportEnd(cause, "", log)
	}
}

// endReason returns why the session ends, for the event "ending".
func (s *session) endReason(cause error) string {
	var idle *idleError
	switch {
	case cause == nil:
		return "the server ended"
	case errors.Is(cause, ErrInterrupted):
		return "interrupted"
	case errors.Is(cause, ErrStopped):
		return ErrStopped.Error()
	case errors.As(cause, &idle):
		return idle.Error()
	}
	return s.cfg.Explain(cause).Message
}

// reportError emits an error event. It adds the end of the log if the server failed or was late.
func (s *sessionCore) reportError(err error, log *serverLog) {
	x := s.cfg.Explain(err)
	e := Event{Event: EventError, Problem: x.ID, Message: x.Message, Hint: x.Hint, Code: &x.Code}
	var server *slurm.ServerError
	var late *StartTimeoutError
	if errors.As(err, &server) || errors.As(err, &late) {
		e.Log = log.tail()
	}
	s.out.emitEvent(e)
}

// jobEndedText returns the words that say that the job has ended.
func (s *session) jobEndedText() string {
	if s.job.info.ID == "" {
		return ""
	}
	return ": job " + s.job.info.ID + " has ended"
}

// reportEnd emits the last event, with err or another reason, and an error event before it if err
// is an error. It returns err.
func (s *sessionCore) reportEnd(err error, reason string, log *serverLog) error {
	code := 0
	if err != nil {
		x := s.cfg.Explain(err)
		code, reason = x.Code, x.Message
		if !errors.Is(err, ErrInterrupted) {
			s.reportError(err, log)
		}
	}
	s.out.emitEvent(endEvent(reason, code, log, false))
	return err
}

func endEvent(reason string, code int, log *serverLog, stopped bool) Event {
	return Event{Event: EventEnded, Reason: reason, Code: &code, LogFile: log.path, Log: log.tail(), Stopped: stopped}
}
