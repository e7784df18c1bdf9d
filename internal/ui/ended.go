package ui

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// An EndedRow is a session that has ended, as cscs ps --ended lists it. Its JSON is a contract.
type EndedRow struct {
	V       int       `json:"v"`
	ID      string    `json:"id"`
	App     string    `json:"app"`
	Cluster string    `json:"cluster"`
	State   string    `json:"state"` // ended
	Reason  string    `json:"reason,omitempty"`
	Job     string    `json:"job,omitempty"`
	Code    *int      `json:"code,omitempty"` // the exit code; nil: there was no process of this machine
	Ended   time.Time `json:"ended"`
}

// EndedTable prints sessions that have ended to standard output, or that none are known.
func EndedTable(io *IO, rows []EndedRow, now time.Time) {
	if len(rows) == 0 {
		fmt.Fprintln(io.Err, "no session that ended is known")
		return
	}
	w := tabwriter.NewWriter(io.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tAPP\tCLUSTER\tJOB\tENDED\tCODE\tWHY")
	for _, r := range rows {
		code := ""
		if r.Code != nil {
			code = strconv.Itoa(*r.Code)
		}
		cells := []string{r.ID, r.App, r.Cluster, r.Job, formatTime(r.Ended, now), code, r.Reason}
		for i, c := range cells {
			if cells[i] = Clean(c); c == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // a reader that went away wants no more
}

// recent bounds what EndedNotes tells.
const recentMost, recentAge = 3, 24 * time.Hour

// EndedNotes tells on standard error of the sessions that ended within a day, and that there are more.
func EndedNotes(io *IO, rows []EndedRow, now time.Time) {
	var recent []EndedRow
	for _, r := range rows {
		if now.Sub(r.Ended) < recentAge {
			recent = append(recent, r)
		}
	}
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
