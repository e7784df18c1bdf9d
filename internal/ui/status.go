package ui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/session"
)

// status renders the state of a session as the block that stands on the screen.
type status struct{ session.Status }

// renderInput has what buildRows needs besides the status.
type renderInput struct {
	w       int // columns
	unicode bool
	now     time.Time
	gauge   session.Snapshot
	gauged  bool
	keys    []string // the row of keys, as in row.words
	help    []string // lines of help; nil: not shown
	pending []string // what the session waits for
	lost    bool     // a connection is lost
}

func (l renderInput) dotSeparator() string { return choose(l.unicode, " · ", ", ") }

// buildRows returns the rows of the block.
func (s *status) buildRows(l renderInput) []row {
	var rows []row
	for _, p := range l.pending {
		for _, part := range foldMessage(p, l.w) {
			rows = append(rows, row{words: []string{part}, weight: 9})
		}
	}
	if s.IsServing() {
		rows = append([]row{{words: []string{""}, weight: 0}}, rows...)
		rows = append(rows, s.addressRow(), s.locationRow(l))
		if !s.Ends.IsZero() {
			rows = append(rows, s.timeLeftRow(l))
		}
		if l.gauged {
			l.lost = len(s.Lost) > 0
			rows = append(rows, trafficRow(l))
		}
		if w := s.CurrentWarning(); w != nil {
			for _, part := range foldMessage("! "+formatTime(w.Time, l.now)+" "+Clean(w.Message), l.w) {
				rows = append(rows, row{words: []string{part}, paint: yellow, weight: 6})
			}
		}
	}
	if !s.IsServing() && s.hasPage() {
		rows = append(rows, s.waitingPageRow())
	}
	for _, h := range l.help {
		for _, part := range wrapText(h, l.w) {
			rows = append(rows, row{words: []string{part}, paint: dim, weight: 2})
		}
	}
	if len(l.keys) > 0 {
		rows = append(rows, row{words: l.keys, paint: dim, weight: 3})
	}
	return rows
}

func (s *status) addressRow() row {
	u := Clean(s.URL)
	return row{words: []string{u, strings.TrimPrefix(u, "http://")}, paint: bold, weight: 8}
}

// hasPage reports whether a browser gets a page at the address: from the server, or the waiting page.
func (s *status) hasPage() bool { return s.URL != "" && !s.IsEnding() }

// waitingPageRow is the row with the address of the waiting page.
func (s *status) waitingPageRow() row {
	r := s.addressRow()
	r.words = append([]string{"in the browser: " + r.words[0]}, r.words...)
	return r
}

// locationRow says in which job and on which node the server runs.
func (s *status) locationRow(l renderInput) row {
	node := Clean(s.Node)
	more := node
	if g := s.Granted; g != nil && len(g.Nodes) > 1 {
		more += fmt.Sprintf(" and %d more", len(g.Nodes)-1)
	}
	if s.Job == "" {
		return row{words: []string{more, node}, weight: 4}
	}
	job := "job " + Clean(s.Job)
	return row{words: []string{job + " on " + more + l.dotSeparator() + "session " + s.Session, job + " on " + more, job + " on " + node, node}, weight: 4}
}

// timeLeftRow shows the time until the job's limit.
func (s *status) timeLeftRow(l renderInput) row {
	rest := s.Ends.Sub(l.now)
	if s.IsLost(s.Node) {
		// Slurm notices a dead node later than the client does.
		silent := Clean(s.Node) + " does not answer"
		limit := "its time limit is at " + formatTime(s.Ends, l.now)
		return row{paint: red, weight: 7, words: []string{silent + ": the job may have ended; " + limit, silent + "; " + limit, silent, "no answer"}}
	}
	part := 1.0
	if whole := s.Ends.Sub(s.Begins); whole > 0 {
		part = rest.Seconds() / whole.Seconds()
	}
	paint := ""
	switch {
	case rest < 2*time.Minute:
		paint = red
	case rest < 10*time.Minute:
		paint = yellow
	}
	text, until := formatRemaining(rest)+" left", ", until "+formatTime(s.Ends, l.now)
	if rest <= 0 {
		text, until = "the time limit is reached", ""
	}
	with := func(n int, s string) string { return formatBar(part, n, l.unicode) + " " + s }
	return row{paint: paint, weight: 7, words: []string{with(30, text+until), with(20, text+until), with(20, text), with(10, text), with(5, text), text, formatRemaining(rest)}}
}

// trafficRow shows the latency to the node, and the bytes and connections of the local ports.
func trafficRow(l renderInput) row {
	g := l.gauge
	far, latency := "", ""
	if g.RTT > 0 && !l.lost {
		far = formatMillis(g.RTT)
		latency = "latency " + far
	}
	conns := fmt.Sprintf("%d connections", g.Open+g.Held)
	if g.Open+g.Held == 1 {
		conns = "1 connection"
	}
	if g.Held > 0 {
		conns += fmt.Sprintf(" (%d waiting)", g.Held)
	}
	join := func(parts ...string) string {
		return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), l.dotSeparator())
	}
	in, out := Bytes(g.Received), Bytes(g.Sent)
	return row{weight: 5, words: []string{
		join(latency, in+" in", out+" out", conns),
		join(far, in+" in", out+" out", fmt.Sprintf("%d open", g.Open+g.Held)),
		join(far, in+" in", out+" out"),
		join(far, in+" in"),
	}}
}

// maxMessageLines is how many lines one message may take.
const maxMessageLines = 4

// foldMessage breaks s into lines of w columns, at most maxMessageLines. The last line has the rest.
func foldMessage(s string, w int) []string {
	lines := wrapText(s, w-2)
	for i := range lines {
		if i > 0 {
			lines[i] = "  " + lines[i]
		}
	}
	if len(lines) > maxMessageLines {
		lines[maxMessageLines-1] += " " + strings.TrimSpace(strings.Join(lines[maxMessageLines:], " "))
		lines = lines[:maxMessageLines]
	}
	return lines
}

// formatMillis formats a latency.
func formatMillis(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "< 1 ms"
	case d < 10*time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return Duration(d)
}
