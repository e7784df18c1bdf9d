package session

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/internal/runclock"
)

// useFailures is the number of failed queries after which the user is warned.
const useFailures = 3

// idleness is what is known of the server's use, for Config.Idle. Times are by the wall clock, so
// the laptop's sleep counts as idleness.
type idleness struct {
	limit  time.Duration
	timer  *runclock.Timer // until the next check
	used   time.Time       // the last known use of the server
	warned time.Time       // when the user was warned of the end; zero: not since the last use
	failed int             // consecutive failed queries to the server
}

// warningPeriod returns how long before the end the user is warned.
func (i *idleness) warningPeriod() time.Duration {
	return min(max(i.limit/10, time.Minute), i.limit/2)
}

// minQueryInterval returns the minimum time between two queries to the server.
func (i *idleness) minQueryInterval() time.Duration { return min(i.warningPeriod(), time.Minute) }

// lastUse is the message with the server's answer.
type lastUse struct {
	at  time.Time
	err error
}

// An idleError is the cause of the end of an unused session. The user asked for that end, so Run
// returns no error for it.
type idleError struct{ after time.Duration }

func (e *idleError) Error() string { return "idle for " + formatDuration(e.after) }

// awaitIdle starts the idle timer once the session is ready.
func (s *session) awaitIdle() {
	i := &s.idle
	i.limit = s.cfg.Idle
	if i.limit > 0 {
		i.used = time.Now().Round(0)
		i.timer.Reset(i.limit - i.warningPeriod())
	}
}

// queryLastUse finds out when the server was last used. It asks only when the end is near, so
// nothing polls. A server that cannot be asked because the connection is lost counts as used. The
// lease bounds how long that can last.
func (s *session) queryLastUse(work context.Context) error {
	judge := s.cfg.App.LastUse
	switch {
	case s.node.chain == nil, s.isUnresponsive(), s.node.lost, judge != nil && s.server.listening == nil:
		s.useUnknown()
		return nil
	case judge == nil:
		return s.judgeUse(s.listener.Stats().LastActivity)
	}
	dial := s.newNodeDialer().newTarget(s.server.port, s.server.listening.Addr)
	s.work.Go(func() {
		client, base, closeIdle := s.tunnelClient(dial)
		defer closeIdle()
		at, err := judge(work, client, base)
		_ = s.sendMessage(work, lastUse{at, err})
	})
	return nil
}

// useKnown handles the server's answer.
func (s *session) useKnown(m lastUse) error {
	if m.err == nil {
		s.idle.failed = 0
		return s.judgeUse(m.at)
	}
	s.idle.failed++
	if s.idle.failed == useFailures && s.node.chain != nil {
		s.out.warn(fmt.Sprintf("the server does not report when it was last used, so it counts as used: %v", m.err))
	}
	s.useUnknown()
	return nil
}

// useUnknown schedules another check soon and withdraws a warning: the user could not react to it
// either.
func (s *session) useUnknown() {
	s.idle.warned = time.Time{}
	s.idle.timer.Reset(s.idle.minQueryInterval())
}

// judgeUse warns of the end. If the server was not used since the warning, judgeUse returns an
// *idleError. No session ends without a warning, and the warning's time counts only while this
// process runs. So a user who opens the laptop in the morning has time to react.
func (s *session) judgeUse(used time.Time) error {
	i, now := &s.idle, time.Now().Round(0)
	i.usedAt(used)
	for _, f := range s.dynamicPorts.ports {
		if f.listener != nil {
			i.usedAt(f.listener.Stats().LastActivity)
		}
	}
	if i.used.After(now) { // the clock was set back
		i.used = now
	}
	if i.used.After(i.warned) || i.warned.After(now) {
		i.warned = time.Time{}
	}
	left := i.used.Add(i.limit).Sub(now)
	switch {
	case !i.warned.IsZero():
		rest := i.warned.Add(i.warningPeriod()).Sub(now)
		if rest <= 0 {
			return &idleError{i.limit}
		}
		i.timer.Reset(rest)
	case left > i.warningPeriod():
		i.timer.Reset(max(left-i.warningPeriod(), i.minQueryInterval()))
	default:
		i.warned = now
		i.timer.Reset(i.warningPeriod())
		s.warnOfIdle(now.Sub(i.used), now.Add(i.warningPeriod()).UTC())
	}
	return nil
}

// usedAt records a use of the server or of a server at a further port.
func (i *idleness) usedAt(at time.Time) {
	if at = at.Round(0); at.After(i.used) {
		i.used = at
	}
}

func (s *session) warnOfIdle(unused time.Duration, ends time.Time) {
	if limit := s.job.info.Ends; limit.After(time.Now()) && limit.Before(ends) {
		return // the time limit comes first, with its own warnings
	}
	use := s.cfg.App.Use
	if use == "" {
		use = "use it"
	}
	s.out.emitEvent(Event{Event: EventWarning, Ends: &ends,
		Message: fmt.Sprintf("the server was not used for %s; the session ends in %s: %s to keep it", formatDuration(unused), formatDuration(s.idle.warningPeriod()), use)})
}

// formatDuration formats d to the second, or to the minute from 10 min on, without zero units.
func formatDuration(d time.Duration) string {
	unit := time.Second
	if d >= 10*time.Minute {
		unit = time.Minute
	}
	text := d.Round(unit).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
