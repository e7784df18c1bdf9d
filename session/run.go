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
	// How long a server that has opened another port may take to open its own: many
	// have ports for themselves.
	elsewhereGrace = 5 * time.Second

	refusedPause = time.Minute // between two warnings of refused connections

	stopGrace = 10 * time.Second // for the server, between being asked to end and being killed

	// How long teardown may take in all; slurmctld can be busy for a while.
	teardownTimeout = 90 * time.Second
	withdrawTimeout = 20 * time.Second // for a pending request to be taken back
	hangUpTimeout   = 5 * time.Second  // for the reader of events to end, once there is a runner to be asked
	redialTimeout   = 20 * time.Second // for a chain over which to end the job, if the one that is there is lost
)

// Run lives one session from nothing to nothing: the local listener, the chain,
// the allocation, the server, the forward, and all of it down again, in whatever
// state ctx or a failure finds it. Each step is told to emit, one at a time; the
// last event is always "ended".
//
// It returns nil when the session ended as asked: the user interrupted it after it
// was ready (with ErrInterrupted as ctx's cause), somebody stopped it from elsewhere
// (ErrStopped), nobody used it for Config.Idle (one that others attend, who may use it, goes
// on without us), or the server ended with status 0; or when
// it goes on without us (ErrDetached). ErrInterrupted: it was interrupted before. A
// *TeardownError hides the error that led to it; that one was told by an event.
func Run(ctx context.Context, cfg Config, emit func(Event)) error {
	return newSession(cfg, emit).run(ctx)
}

func newSession(cfg Config, emit func(Event)) *session {
	return &session{cfg: cfg, out: emitter{id: cfg.ID, cluster: cfg.Cluster, emit: emit}, notices: make(chan any, 16), unresponsive: map[string]bool{}}
}

// An emitter fills in what every event has.
type emitter struct {
	id, cluster string
	emit        func(Event)
	mu          sync.Mutex // a hop is told of by the goroutine that dials it
}

func (o *emitter) emitEvent(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e.V, e.Time, e.Session, e.Cluster = EventVersion, time.Now().UTC(), o.id, o.cluster
	o.emit(e)
}

func (o *emitter) warn(message string) { o.emitEvent(Event{Event: EventWarning, Message: message}) }

// session is the state of one Run. Only the goroutine of run touches it; the
// others send what they find to messages.
type session struct {
	cfg Config
	out emitter

	listener     *forward.Listener
	chain        *share.Chain // to the login node
	node         *chain.Chain // to the compute node, carried by chain
	nodeForwards bool         // connections of ours, as far as it was asked

	dials, dialled int // how many chains were dialled, and which of them chain is

	messages chan any // from the goroutines in work
	notices  chan any // as messages, from who must not wait
	work     conc.WaitGroup
	stopWork context.CancelFunc

	adopted           func(About, slurm.Found) // the session goes on already, and is picked up; nil: it is begun here
	serverPort        int                      // of one that goes on already; 0: not known
	submission        *slurm.Submission
	stopRead          context.CancelFunc // of the reader of the submission's events
	unresponsive      map[string]bool    // the hops of the chain that do not answer
	submitted         bool               // the request was sent: there may be a job
	greeted           bool               // the remote half has begun: before that it asks for nothing
	over              bool               // the session has ended on the cluster
	lost              bool               // the chain is
	leaving           bool               // the chain's owner is, and another is dialled
	lostHop           string             // the hop with which it was told to be lost or mute; "": it was not
	nodeLost          bool               // the node was told to be lost or mute
	cancelNodeSilence context.CancelFunc // of the wait before that is told
	keyRejectionTold  bool               // the key was told not to be taken any more
	stopRedial        context.CancelFunc
	heardAgain        time.Time // when the chain was last replaced, or answered after a silence

	stopRetired context.CancelFunc // of the wait for what a chain that was left still carries
	retired     atomic.Int32       // chains that were left and are still used
	mayRedial   atomic.Bool        // the session stands without its connection
	submitEnd   chan struct{}
	submitErr   error
	unfollowed  int           // readings of the events that failed, one after the other
	unread      time.Duration // the pauses between them so far
	followed    time.Time     // when the last of them began; zero: it has failed since

	job             slurm.JobInfo
	inJob           string // of a tunnel: the job that the server runs in
	step            string
	runner          int  // its process on the node
	unwritten       bool // the login node cannot write the lease
	nodeName        string
	nodeAddrs       []string               // of the node, that were not tried yet
	nodeAddr        string                 // the one that is dialled; "": the name
	headStart       *headStart             // nil: none, or it is taken
	keys            nodeKeys               // of the node, as the runner has found them there
	stepTransport   jobStepTransport       // to the node
	unlaunched      *slurm.LoginShellError // why the server has not been run yet; nil: no such reason is known
	busy            bool                   // the server, which starts, is seen to work
	overdue         bool                   // the start timeout is over
	grantedAt       time.Time              // when the start timeout began
	toldShared      bool
	listening       *slurm.Listening   // nil: the server does not listen
	port            int                // that the server is to listen on
	portSeen        atomic.Int64       // the same, for other goroutines
	others          []string           // what the user's new listeners are instead
	refusedAt       time.Time          // when the last warning of refused connections was given
	portMonitor     *slurm.PortMonitor // over that port, by way of node
	stopPortMonitor context.CancelFunc
	probing         context.CancelFunc
	ready           bool
	opened          bool // the browser was, or is being
	dynamicPorts    dynamicPorts
	idle            idleness
	kept            bool      // the request waits in Slurm alone
	queuedJob       string    // of the last look at the queue
	reason          string    // likewise
	estimate        time.Time // likewise, of the job's start
}

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
	if s.submitted {
		s.out.emitEvent(Event{Event: EventEnding, Reason: s.endReason(cause)})
	}
	log, left := s.tearDown(context.WithoutCancel(ctx))

	switch {
	case left != nil:
		// What led here is told first, what is left behind last.
		if cause != nil && !interrupted && !unused {
			s.reportError(cause, log)
		}
		return s.reportEnd(left, "", log)
	case cause == nil:
		return s.reportEnd(nil, "the server ended", log)
	case unused:
		return s.reportEnd(nil, idle.Error()+s.jobEndedText(), log)
	case stopped:
		s.out.emitEvent(s.endEvent(ErrStopped.Error()+s.jobEndedText(), 0, log, true))
		return nil
	case interrupted && s.ready:
		return s.reportEnd(nil, "ended as asked"+s.jobEndedText(), log)
	default:
		return s.reportEnd(cause, "", log)
	}
}

// endReason is why the session ends, for the event "ending".
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

// reportError tells of an error.
func (s *session) reportError(err error, log *serverLog) {
	x := s.cfg.Explain(err)
	e := Event{Event: EventError, Message: x.Message, Hint: x.Hint, Code: &x.Code}
	var server *slurm.ServerError
	var late *StartTimeoutError
	if errors.As(err, &server) || errors.As(err, &late) {
		e.Log = log.tail()
	}
	s.out.emitEvent(e)
}

// jobEndedText says that nothing runs any more.
func (s *session) jobEndedText() string {
	if s.job.ID == "" || !s.submitted { // the job of a tunnel is not the session's
		return ""
	}
	return ": job " + s.job.ID + " has ended"
}

// reportEnd tells of the session's end: of the error, or of another reason.
func (s *session) reportEnd(err error, reason string, log *serverLog) error {
	code := 0
	if err != nil {
		x := s.cfg.Explain(err)
		code, reason = x.Code, x.Message
		if errors.Is(err, ErrInterrupted) {
			reason += s.jobEndedText()
		} else {
			s.reportError(err, log)
		}
	}
	s.out.emitEvent(s.endEvent(reason, code, log, false))
	return err
}

func (s *session) endEvent(reason string, code int, log *serverLog, stopped bool) Event {
	return Event{Event: EventEnded, Reason: reason, Code: &code, LogFile: log.path, Log: log.tail(), Stopped: stopped}
}
