package ui

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestTable: a line for each session where there is room for it, and for programs; in a narrow
// terminal nothing is broken but between lines.
func TestTable(t *testing.T) {
	now := time.Now()
	ends := now.Add(90 * time.Minute)
	rows := []Row{
		{ID: "k7abcdef", App: "jupyter", Cluster: "daint", State: "ready", Job: "12", Node: "nid001001", Ends: &ends,
			Attached: []string{"here (pid 7)", "alice@desk (pid 9)"}, URL: "http://127.0.0.1:8888/lab"},
		{ID: "q2abcdef", App: "run", Cluster: "eiger", State: "queued", Reason: "waiting for \x1b[2Jnodes", Attached: []string{}},
	}
	const table = `ID        APP      CLUSTER  STATE   JOB  NODE       LEFT        ATTACHED                          URL
k7abcdef  jupyter  daint    ready   12   nid001001  1 h 30 min  here (pid 7), alice@desk (pid 9)  http://127.0.0.1:8888/lab
q2abcdef  run      eiger    queued  -    -          -           -                                 -
`
	const list = `k7abcdef  jupyter on daint, ready
  job 12, nid001001, 1 h 30 min left
  attached: here (pid 7)
  attached: alice@desk (pid 9)
  http://127.0.0.1:8888/lab
q2abcdef  run on eiger, queued
`
	widest := 0
	for line := range strings.Lines(table) {
		widest = max(widest, len(line)-1)
	}
	for _, tt := range []struct {
		tty   bool
		width int
		want  string
	}{{false, 40, table}, {true, widest, table}, {true, widest - 1, list}, {true, 40, list}} {
		var out, err bytes.Buffer
		Table(&IO{Out: &out, Err: &err, OutTTY: tt.tty, ErrTTY: tt.tty, Width: func() int { return tt.width }}, rows, now)
		if out.String() != tt.want {
			t.Errorf("%+v: got\n%s", tt, out.String())
		}
		if got := err.String(); !strings.HasPrefix(got, "q2abcdef: waiting for ") || strings.Contains(got, "\x1b") {
			t.Errorf("the reason: %q", got)
		}
	}
}
