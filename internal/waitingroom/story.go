package waitingroom

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

// A pageState is the state of a session, and of its port, that the waiting page shows.
type pageState struct {
	session.Status
	cfg             Config
	there, wasThere bool // whether the local port leads to the server
}

// buildView returns the page for the state. trusted says that the client may see everything.
func (s *pageState) buildView(trusted bool, now time.Time) view {
	v := view{Foot: "A page of cscs, on this machine. It becomes " + s.appTitle() + " by itself."}
	switch {
	case s.Ended != nil:
		s.fillEnded(&v, trusted)
	case s.Ending != nil:
		v.Headline = "Ending"
		v.Lines = []string{makeSentence(s.Ending.Reason)}
	case s.wasThere:
		s.fillAway(&v)
	default:
		s.fillArrival(&v, now)
	}
	v.Title = v.Headline + " · " + s.appTitle() + " on " + s.cfg.Cluster
	if w := s.CurrentWarning(); w != nil && s.Ended == nil && w != s.BeforeReady {
		v.Warning = makeSentence(w.Message)
	}
	return v
}

// appTitle returns the name of what the user waits for.
func (s *pageState) appTitle() string {
	switch s.cfg.App {
	case "jupyter":
		return "Jupyter"
	case "tensorboard":
		return "TensorBoard"
	}
	return "the server"
}

// absenceReason says in one sentence why the server does not answer.
func (s *pageState) absenceReason(now time.Time) string {
	switch {
	case s.Ended != nil:
		return "The session has ended."
	case s.Ending != nil:
		return "The session is ending."
	case s.wasThere:
		return forward.Unavailable
	}
	var v view
	s.fillArrival(&v, now)
	first, n := utf8.DecodeRuneInString(v.Headline)
	return "The server is not there yet: cscs is " + string(unicode.ToLower(first)) + v.Headline[n:] + ", and this address becomes the server when it answers."
}

// fillAway fills the page between two times at which the server answers.
func (s *pageState) fillAway(v *view) {
	switch {
	case s.there:
		v.Headline = "Ready"
	case len(s.Lost) > 0:
		l := s.Lost[0]
		v.Headline = "Reconnecting"
		text := "The connection to " + l.Host + " is lost"
		if m := strings.TrimPrefix(l.Message, "connection to "+l.Host+" lost: "); m != "" {
			text += ": " + m
		}
		v.Lines = []string{makeSentence(text)}
		switch {
		case s.Granted == nil:
		case l.Host == s.Granted.Node: // if the node is lost, its job may be lost too
			v.Lines = append(v.Lines, "It is not known whether job "+s.Granted.Job+" still runs.")
		default:
			v.Lines = append(v.Lines, "Job "+s.Granted.Job+" goes on meanwhile.")
		}
		v.Lines = append(v.Lines, "When the connection is back, this page returns to where you were.")
	default:
		v.Headline = "Waiting for " + s.appTitle()
		v.Lines = []string{"The server does not take connections at this moment. When it does, this page returns to where you were."}
	}
}

// fillArrival fills the page before the server answers for the first time.
func (s *pageState) fillArrival(v *view, now time.Time) {
	connected, reached := s.connectedHops()
	connect := step{Name: "Connect to " + s.cfg.Cluster, State: "now", Since: unixMillis(s.Began), Detail: strings.Join(connected, " → ")}
	slurm := step{Name: "Get a node", State: "todo"}
	server := step{Name: "Start " + s.appTitle(), State: "todo"}
	v.Headline = "Connecting to " + s.cfg.Cluster
	if s.Granted != nil || s.Queued != nil || len(connected) >= len(s.cfg.Hops) && len(s.cfg.Hops) > 0 {
		connect.markDone(s.Began, reached)
		slurm.State, slurm.Since = "now", unixMillis(reached)
		v.Headline = "Asking for a node"
	}
	if q := s.Queued; q != nil {
		v.Headline = "Waiting in the queue"
		slurm.Since = unixMillis(s.QueuedAt)
		slurm.Detail = "Job " + q.Job + " waits"
		if q.Reason != "" {
			slurm.Detail += ": " + q.Reason
		}
		slurm.Detail += "."
		if q.Start != nil && q.Start.After(now) {
			v.Lines = append(v.Lines, "Expected to start "+formatClock(*q.Start, now)+".")
		}
		v.Lines = append(v.Lines, "You may leave this tab open, and come back to it.")
	}
	if g := s.Granted; g != nil {
		v.Headline, v.Lines = "Starting "+s.appTitle(), nil
		if slurm.State, slurm.Since = "done", 0; !g.Earlier {
			slurm.markDone(reached, s.GrantedAt)
		}
		slurm.Detail = "Job " + g.Job + " on " + g.Node
		if n := len(g.Nodes); n > 1 {
			slurm.Detail += fmt.Sprintf(" and %d more", n-1)
		}
		if g.Ends != nil {
			slurm.Detail += ", until " + strings.TrimPrefix(formatClock(*g.Ends, now), "at ")
		}
		slurm.Detail += "."
		server.State, server.Since = "now", unixMillis(s.GrantedAt)
		if s.Started != nil {
			server.Detail = "It is starting, and does not answer yet."
		}
	}
	if len(s.Lost) > 0 {
		l := s.Lost[0]
		v.Lines = append([]string{makeSentence("The connection to " + l.Host + " is lost, and is being made again")}, v.Lines...)
	}
	if s.there {
		v.Headline, v.Lines = "Ready", nil
		server.State, server.Since = "done", 0
	}
	v.Steps = []step{connect, slurm, server}
}

// connectedHops returns the hops that have been connected, and when the last of them was.
func (s *pageState) connectedHops() (hops []string, reached time.Time) {
	for _, e := range s.Connected {
		if slices.Contains(s.cfg.Hops, e.Host) {
			hops, reached = append(hops, e.Host), e.Time
		}
	}
	return hops, reached
}

// fillEnded fills the page at the end.
func (s *pageState) fillEnded(v *view, trusted bool) {
	v.Foot = "The session has ended: this address no longer answers."
	v.Headline = "Ended"
	v.Lines = []string{makeSentence(capitalizeFirst(s.Ended.Reason))} // it never begins with a host name
	switch {
	case s.Detached != nil:
		v.Headline = map[bool]string{true: "Left in the queue", false: "Left running"}[s.Detached.Kept]
		v.Command, v.CommandFor = "cscs attach "+s.cfg.ID, "To attach to it again, in a terminal"
		return
	case s.Failure != nil:
		v.Class = "failed"
		v.Lines = []string{makeSentence(s.Failure.Message)}
		v.Hint = makeSentence(s.Failure.Hint)
		v.Headline = "Ended by an error"
		if s.Ready == nil {
			v.Headline = map[bool]string{true: "No node was allocated", false: "It did not start"}[s.Granted == nil]
		}
	}
	if !trusted {
		return
	}
	v.Command, v.CommandFor = s.cfg.Again, "To start again"
	v.Log = s.Ended.Log
	if len(v.Log) == 0 && s.Failure != nil {
		v.Log = s.Failure.Log
	}
	v.Log = slices.Clone(v.Log)
	for i, line := range v.Log {
		v.Log[i] = ui.MaskTokens(ui.CleanLine(line)) // the page must not contain a secret
	}
}

func (s *step) markDone(from, to time.Time) {
	s.State, s.Since = "done", 0
	if !from.IsZero() && !to.Before(from) {
		s.Took = formatSpan(to.Sub(from))
	}
}

// formatSpan formats a duration as the page's script does.
func formatSpan(d time.Duration) string {
	sec := int(d.Round(time.Second) / time.Second)
	switch {
	case sec < 60:
		return fmt.Sprintf("%d s", sec)
	case sec < 3600:
		return fmt.Sprintf("%d min %d s", sec/60, sec%60)
	}
	return fmt.Sprintf("%d h %d min", sec/3600, sec/60%60)
}

func unixMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// formatClock formats a time of day, with the date unless it is today. It uses the laptop's time zone, since
// the laptop's browser shows it.
func formatClock(at, now time.Time) string {
	at, now = at.Local(), now.Local()
	if at.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return "at " + at.Format("15:04")
	}
	return "on " + at.Format("Mon 2 Jan, 15:04")
}

func capitalizeFirst(s string) string {
	if s == "" {
		return ""
	}
	first, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[n:]
}

// makeSentence makes a sentence of a message, which begins in lower case and has no full stop.
func makeSentence(s string) string {
	if s == "" {
		return ""
	}
	if word, _, _ := strings.Cut(s, " "); !strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) }) {
		s = capitalizeFirst(s)
	} // the first word is the name of a host, for example
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "!") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}
