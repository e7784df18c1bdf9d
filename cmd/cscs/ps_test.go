package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/slurm"
)

// TestWhoAttends: what this machine knows of its own processes counts, and what the cluster
// says of others.
func TestWhoAttends(t *testing.T) {
	other := "bob@desktop (pid 5)"
	for _, tt := range []struct {
		name     string
		known    registry.Listed
		found    slurm.Found
		attached []string
		state    string
	}{
		{"two here, one elsewhere", registry.Listed{Record: registry.Record{State: registry.Lost, PID: 5}, Attended: true, Here: []int{5, 9}},
			slurm.Found{Serving: true, Clients: []string{clientNameOf(9), other, clientNameOf(5)}},
			[]string{"here (pid 5)", "here (pid 9)", other}, registry.Lost},
		{"one elsewhere", registry.Listed{Record: registry.Record{State: registry.Unattended, PID: 5}}, slurm.Found{Serving: true, Clients: []string{other}},
			[]string{other}, registry.Ready},
		{"one that died here", registry.Listed{Record: registry.Record{State: registry.Unattended, PID: 5}}, slurm.Found{Serving: true, Clients: []string{clientNameOf(5)}},
			[]string{}, registry.Unattended},
		{"one that could not take it down", registry.Listed{Record: registry.Record{State: registry.Left, PID: 5, Reason: "no answer"}},
			slurm.Found{Serving: true, Clients: []string{clientNameOf(5), other}}, []string{other}, registry.Ready},
		{"another laptop", registry.Listed{}, slurm.Found{Serving: true, Clients: []string{clientNameOf(5)}}, []string{clientNameOf(5)}, registry.Ready},
		{"left", registry.Listed{Record: registry.Record{State: registry.Detached, PID: 5}}, slurm.Found{Serving: true, Left: true}, []string{}, registry.Detached},
	} {
		r := withFound(rowOf(tt.known), tt.found, tt.known)
		if diff := cmp.Diff(tt.attached, r.Attached); diff != "" || r.State != tt.state {
			t.Errorf("%s: %s, want %s; attached (-want +got):\n%s", tt.name, r.State, tt.state, diff)
		}
	}
}
