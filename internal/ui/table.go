package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/clipperhouse/displaywidth"
)

// A Row is a session as cscs ps lists it. Other programs rely on its JSON form.
type Row struct {
	V        int        `json:"v"`
	ID       string     `json:"id"`
	App      string     `json:"app"`
	Cluster  string     `json:"cluster"`
	State    string     `json:"state"`
	Reason   string     `json:"reason,omitempty"`
	Job      string     `json:"job,omitempty"`
	Node     string     `json:"node,omitempty"`
	URL      string     `json:"url,omitempty"`
	Start    *time.Time `json:"start,omitempty"` // Slurm's estimate for a queued job
	AsOf     *time.Time `json:"as_of,omitempty"` // when the state was seen, if no process on this machine follows it
	Begun    time.Time  `json:"begun"`
	Ends     *time.Time `json:"ends,omitempty"`
	Left     *int       `json:"left,omitempty"` // seconds until the job's time limit
	Attached []string   `json:"attached"`       // the processes that attend it
}

// LeftAt returns the row with the time left at now.
func (r Row) LeftAt(now time.Time) Row {
	if r.Ends != nil {
		left := int(max(r.Ends.Sub(now), 0).Seconds())
		r.Left = &left
	}
	return r
}

// Table prints the sessions to standard output. If the terminal is too narrow for the table, each session has
// several short lines. If there is no session, it says so on standard error.
func Table(io *IO, rows []Row, now time.Time) {
	if len(rows) == 0 {
		fmt.Fprintln(io.Err, "no live session")
		return
	}
	text := formatTable(rows, now)
	if io.OutTTY && io.ErrTTY {
		w := io.Width()
		for line := range strings.Lines(text) {
			if displaywidth.String(strings.TrimSuffix(line, "\n")) > w {
				text = formatList(rows, now)
				break
			}
		}
	}
	fmt.Fprint(io.Out, text)
	for _, r := range rows {
		if why := r.stateReason(now); why != "" {
			fmt.Fprintf(io.Err, "%s: %s\n", r.ID, Clean(why))
		}
	}
}

// stateReason returns the reason of the state, and what is known of a queued job's start.
func (r Row) stateReason(now time.Time) string {
	var parts []string
	if r.Reason != "" {
		parts = append(parts, r.Reason)
	}
	if r.Start != nil && r.Start.After(now) {
		parts = append(parts, "expected to start "+At(*r.Start, now))
	}
	if r.AsOf != nil {
		parts = append(parts, "as of "+formatTime(*r.AsOf, now)+"; cscs ps --refresh asks the cluster")
	}
	return strings.Join(parts, ", ")
}

// formatTable formats one line per session.
func formatTable(rows []Row, now time.Time) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tAPP\tCLUSTER\tSTATE\tJOB\tNODE\tLEFT\tATTACHED\tURL")
	for _, r := range rows {
		left := "-"
		if r.Ends != nil {
			left = formatRemaining(r.Ends.Sub(now))
		}
		printCells(w, r.ID, r.App, r.Cluster, r.State, r.Job, r.Node, left, strings.Join(r.Attached, ", "), r.URL)
	}
	_ = w.Flush() // writes to memory
	return text.String()
}

// printCells prints a row of a table. An empty cell becomes "-".
func printCells(w io.Writer, cells ...string) {
	for i, c := range cells {
		if cells[i] = Clean(c); c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// formatList formats several short lines per session.
func formatList(rows []Row, now time.Time) string {
	var text strings.Builder
	for _, r := range rows {
		line := func(indent string, parts ...string) {
			parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
			if len(parts) > 0 {
				fmt.Fprintln(&text, indent+Clean(strings.Join(parts, ", ")))
			}
		}
		line("", r.ID+"  "+r.App+" on "+r.Cluster, r.State)
		var job, left string
		if r.Job != "" {
			job = "job " + r.Job
		}
		if r.Ends != nil {
			left = formatRemaining(r.Ends.Sub(now)) + " left"
		}
		line("  ", job, r.Node, left)
		for _, who := range r.Attached {
			line("  ", "attached: "+who)
		}
		line("  ", r.URL)
	}
	return text.String()
}

// formatRemaining formats the time left, rounded down: to the second below ten minutes, otherwise to the minute
// or the hour, and to the day from ten days on.
func formatRemaining(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d <= 0:
		return "over"
	case d < time.Second:
		return "1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 10*time.Minute:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	case d < 10*day:
		return fmt.Sprintf("%d days %d h", int(d/day), int(d%day/time.Hour))
	}
	return fmt.Sprintf("%d days", int(d/day))
}
