package session

import (
	"fmt"
	"time"

	"github.com/alps-tunnel/cscs/internal/runclock"
	"github.com/alps-tunnel/cscs/slurm"
)

// warnings are how long before the job's time limit the user is warned.
var warnings = []time.Duration{10 * time.Minute, 2 * time.Minute}

// awaitLimit sets the timer to the next warning that is still due.
func (s *sessionCore) awaitLimit(timer *time.Timer) {
	if s.job.info.Ends.IsZero() {
		return
	}
	for _, before := range warnings {
		if left := time.Until(s.job.info.Ends.Add(-before)); left > 0 {
			timer.Reset(left)
			return
		}
	}
}

// warnOfLimit warns that the job will soon reach its time limit. It advises to save work only if
// the server is reached: the node may be dead, which Slurm notices later than this process.
func (s *sessionCore) warnOfLimit() {
	ends := s.job.info.Ends.UTC()
	left := time.Until(ends).Round(time.Second)
	message := "job " + s.job.info.ID + " reaches its time limit in " + inMinutes(left)
	if left <= 0 {
		message = "job " + s.job.info.ID + " has reached its time limit"
	}
	switch {
	case s.node.lost:
		message += "; " + s.node.name + " does not answer, and it is not known whether the job still runs"
	case s.login.lostHop != "":
		message += ", and the server ends with it; the connection to " + s.login.lostHop + " is still lost"
	case left <= 0:
		message += ", and the server ends with it"
	default:
		message += ", and the server ends with it: save your work"
	}
	s.out.emitEvent(Event{Event: EventWarning, Ends: &ends, Message: message})
}

// inMinutes formats d in minutes and seconds, without a zero unit.
func inMinutes(d time.Duration) string {
	min, sec := int(d/time.Minute), int(d%time.Minute/time.Second)
	switch {
	case min == 0:
		return fmt.Sprintf("%d s", sec)
	case sec == 0:
		return fmt.Sprintf("%d min", min)
	}
	return fmt.Sprintf("%d min %d s", min, sec)
}

// reportSuspension reports once that Slurm has suspended the job (scontrol(1), suspend;
// slurm.conf(5), PreemptMode), and once that it has resumed it. By then Slurm has moved the time
// limit.
func (s *session) reportSuspension(now slurm.JobInfo) {
	const suspended = "SUSPENDED"
	switch {
	case now.State == suspended && s.job.info.State != suspended:
		s.out.warn("Slurm has suspended job " + s.job.info.ID + ": its server answers again when Slurm resumes it")
	case now.State == "RUNNING" && s.job.info.State == suspended:
		s.job.info.Ends = now.Ends
		s.out.warn("Slurm has resumed job " + s.job.info.ID)
	}
}

// limitTimers are the time limits of a session, apart from idleness. Those that would end something healthy count only
// the time in which this process runs.
type limitTimers struct {
	queue        *runclock.Timer // for the job to start
	queuedAt     time.Time       // when the wait for the job began
	start        *runclock.Timer // for the server to answer
	slowResponse *runclock.Timer // for Slurm to answer, before that is reported
	wrongPort    *runclock.Timer // for the server to listen on its port, when another one is listened on
	job          *time.Timer     // until the next warning of the job's time limit
}

func newLimitTimers(queue, slowResponse time.Duration) *limitTimers {
	job := time.NewTimer(time.Hour)
	job.Stop()
	return &limitTimers{queue: runclock.NewTimer(queue), queuedAt: time.Now(), start: newStoppedTimer(),
		slowResponse: runclock.NewTimer(slowResponse), wrongPort: newStoppedTimer(), job: job}
}

func newStoppedTimer() *runclock.Timer {
	timer := runclock.NewTimer(time.Hour)
	timer.Stop()
	return timer
}

func (l *limitTimers) stop() {
	for _, timer := range []*runclock.Timer{l.queue, l.start, l.slowResponse, l.wrongPort} {
		timer.Stop()
	}
	l.job.Stop()
}

// updateLimits starts and stops the timers after a message was handled. The error is that of a server that had its time
// and does not work on its start any more.
func (s *session) updateLimits(limits *limitTimers, m any) error {
	switch m.(type) {
	case slurm.Hello:
		limits.slowResponse.Stop()
		if s.request.attached == nil && s.job.info.ID == "" {
			limits.slowResponse.Reset(s.slowResponseTimeout())
		}
	case slurm.Pending:
		limits.slowResponse.Stop()
	case slurm.Requeued:
		limits.start.Stop()
		if s.request.attached == nil {
			limits.queuedAt = time.Now()
			limits.queue.Reset(s.cfg.QueueTimeout)
		}
	case slurm.Granted:
		limits.slowResponse.Stop()
		limits.queue.Stop()
		s.job.grantedAt, s.server.overdue = time.Now(), false
		if s.cfg.StartTimeout > 0 {
			limits.start.Reset(s.cfg.StartTimeout)
		}
		s.awaitLimit(limits.job)
	case slurm.JobState:
		s.awaitLimit(limits.job) // a resumed job has a later limit
	case slurm.Elsewhere:
		if len(s.server.others) == 1 { // only the first one starts the timer
			limits.wrongPort.Reset(elsewhereGrace)
		}
	case probeDone, slurm.Listening, nodeProbed:
		if s.server.ready {
			limits.start.Stop()
		}
	case slurm.Work:
		if s.server.overdue && !s.server.busy && !s.server.ready {
			return s.startTimeoutError()
		}
	}
	return nil
}
