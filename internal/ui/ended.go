package ui

import (
	"fmt"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// An EndedRow is an ended session as cscs ps --ended lists it. Other programs rely on its JSON form.
type EndedRow struct {
	V       int       `json:"v"`
	ID      string    `json:"id"`
	App     string    `json:"app"`
	Cluster string    `json:"cluster"`
	State   string    `json:"state"` // ended
	Reason  string    `json:"reason,omitempty"`
	Job     string    `json:"job,omitempty"`
	Code    *int      `json:"code,omitempty"` // exit code; nil: no process of this machine attended it
	Ended   time.Time `json:"ended"`
}

// EndedTable prints ended sessions to standard output. If none is known, it says so on standard error.
func EndedTable(io *IO, rows []EndedRow, now time.Time) {
	if len(rows) == 0 {
		fmt.Fprintln(io.Err, "no ended session is known")
		return
	}
	w := tabwriter.NewWriter(io.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tAPP\tCLUSTER\tJOB\tENDED\tCODE\tWHY")
	for _, r := range rows {
		code := ""
		if r.Code != nil {
			code = strconv.Itoa(*r.Code)
		}
		printCells(w, r.ID, r.App, r.Cluster, r.Job, formatTime(r.Ended, now), code, r.Reason)
	}
	_ = w.Flush() // if the reader has gone, the rest is not needed
}

// recentMost and recentAge limit the output of EndedNotes.
const recentMost, recentAge = 3, 24 * time.Hour

// EndedNotes prints the last sessions that ended within a day to standard error, and the number of the others.
func EndedNotes(io *IO, rows []EndedRow, now time.Time) {
	recent := slices.DeleteFunc(slices.Clone(rows), func(r EndedRow) bool { return now.Sub(r.Ended) >= recentAge })
	if more := len(recent) - recentMost; more > 0 {
		fmt.Fprintf(io.Err, "%d more ended within a day: cscs ps --ended\n", more)
		recent = recent[more:]
	}
	for _, r := range recent {
		line := r.ID + " ended " + At(r.Ended, now)
		if r.Reason != "" {
			line += ": " + r.Reason
		}
		if r.Code != nil && *r.Code != 0 {
			line += fmt.Sprintf(" (exit code %d)", *r.Code)
		}
		fmt.Fprintln(io.Err, Clean(line))
	}
}
