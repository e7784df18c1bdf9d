package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/live"
	"github.com/alps-tunnel/cscs/slurm"
)

// TestWhoAttends: what this machine knows of its own processes counts, and what the cluster
// says of others.
func TestWhoAttends(t *testing.T) {
	other := "bob@desktop (pid 5)"
	for _, tt := range []struct {
		name     string
		known    live.Listed
		found    slurm.Found
		attached []string
		state    string
	}{
		{"two here, one elsewhere", live.Listed{Record: live.Record{State: live.Lost, PID: 5}, Attended: true, Here: []int{5, 9}},
			slurm.Found{Serving: true, Clients: []string{clientNameOf(9), other, clientNameOf(5)}},
			[]string{"here (pid 5)", "here (pid 9)", other}, live.Lost},
		{"one elsewhere", live.Listed{Record: live.Record{State: live.Unattended, PID: 5}}, slurm.Found{Serving: true, Clients: []string{other}},
			[]string{other}, live.Ready},
		{"one that died here", live.Listed{Record: live.Record{State: live.Unattended, PID: 5}}, slurm.Found{Serving: true, Clients: []string{clientNameOf(5)}},
			[]string{}, live.Unattended},
		{"one that could not take it down", live.Listed{Record: live.Record{State: live.Left, PID: 5, Reason: "no answer"}},
			slurm.Found{Serving: true, Clients: []string{clientNameOf(5), other}}, []string{other}, live.Ready},
		{"another laptop", live.Listed{}, slurm.Found{Serving: true, Clients: []string{clientNameOf(5)}}, []string{clientNameOf(5)}, live.Ready},
		{"left", live.Listed{Record: live.Record{State: live.Detached, PID: 5}}, slurm.Found{Serving: true, Left: true}, []string{}, live.Detached},
	} {
		r := withFound(rowOf(tt.known), tt.found, tt.known)
		if diff := cmp.Diff(tt.attached, r.Attached); diff != "" || r.State != tt.state {
			t.Errorf("%s: %s, want %s; attached (-want +got):\n%s", tt.name, r.State, tt.state, diff)
		}
	}
}
