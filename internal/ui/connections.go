package ui

import (
	"fmt"
	"time"
)

// A ConnectionRow is a connection kept without a session, as cscs ps lists it. Other programs rely on its JSON
// form.
type ConnectionRow struct {
	V       int        `json:"v"`
	Kind    string     `json:"kind"` // "connection"
	Cluster string     `json:"cluster"`
	User    string     `json:"user"`
	State   string     `json:"state"` // in use, unused, closing
	Begun   time.Time  `json:"begun"`
	Ends    *time.Time `json:"ends,omitempty"` // set if unused
	PID     int        `json:"pid"`
}

// Connections prints one line per connection to standard error, below the table of sessions.
func Connections(io *IO, rows []ConnectionRow, now time.Time) {
	for _, r := range rows {
		line := fmt.Sprintf("connection to %s as %s: %s, begun %s", r.Cluster, r.User, r.State, At(r.Begun, now))
		if r.Ends != nil {
			line += ", ends " + At(*r.Ends, now)
		}
		fmt.Fprintln(io.Err, Clean(fmt.Sprintf("%s (pid %d)", line, r.PID)))
	}
}
