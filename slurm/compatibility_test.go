package slurm

import "testing"

// TestOtherVersions: a line that only another version of the remote part writes is no event, and in a known line an
// unknown field is ignored and a missing text is empty (docs/compatibility.md).
func TestOtherVersions(t *testing.T) {
	for text, want := range map[string]Event{
		"overture\tjob=12":             nil,
		"pending\tjob=12\tmood=good":   Pending{Job: "12"},
		"lease":                        LeaseUnwritten{},
		"started\tnode=nid1\tsince=12": Started{Node: "nid1"},
	} {
		l := parseLine(text)
		if err := l.checkFields(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got := l.toEvent(); got != want {
			t.Errorf("%q: got %#v, want %#v", text, got, want)
		}
	}
}
