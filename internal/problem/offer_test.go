package problem

import (
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/slurm"
)

// TestOffer: a request that is refused, or can never start, is answered with what there is.
func TestOffer(t *testing.T) {
	there := []slurm.Partition{
		{Name: "normal", Default: true, Up: true, Limit: "1-00:00:00", Nodes: 3, Memory: 8000},
		{Name: "debug", Up: true, Limit: "30:00", Nodes: 2, Memory: 512000},
		{Name: "old", Limit: "1:00", Nodes: 9, Memory: 1},
	}
	refused := func(words string, r slurm.Request) error {
		return &slurm.RefusedError{Message: words, Request: r, Partitions: there}
	}
	never := func(reason string, r slurm.Request) error {
		return &slurm.NeverStartsError{Job: "7", Reason: reason, Request: r, Partitions: there}
	}
	for _, c := range []struct {
		name string
		err  error
		want []string
		fix  string
		lack string
	}{
		{"misspelt", refused("Invalid partition name specified", slurm.Request{Partition: "nromal"}), []string{"normal", "debug"}, "--partition normal", "old"},
		{"no such", refused("invalid partition name specified", slurm.Request{Partition: "xyz"}), []string{"normal (the default", "3 nodes", "24 h", "debug", "30 min"}, "", "old"},
		{"nodes", refused("Node count specification invalid", slurm.Request{Nodes: "99"}), []string{"partition normal", "3 nodes", "--nodes"}, "--nodes 3", ""},
		{"nodes of another", refused("Requested node configuration is not available", slurm.Request{Nodes: "99", Partition: "debug"}), []string{"partition debug", "2 nodes"}, "--nodes 2", ""},
		{"memory", refused("Memory specification can not be satisfied", slurm.Request{Mem: "900G"}), []string{"partition normal", "8000M"}, "--mem 8000M", ""},
		{"memory of another", refused("Requested node configuration is not available", slurm.Request{Mem: "900G", Partition: "debug"}), []string{"512000M", "500 GiB"}, "--mem 512000M", ""},
		{"time", never("PartitionTimeLimit", slurm.Request{Time: "2:00:00", Partition: "debug"}), []string{"partition debug", "30 min", "--time"}, "--time 30:00", ""},
		{"node limit", never("PartitionNodeLimit", slurm.Request{Nodes: "4-9"}), []string{"3 nodes"}, "--nodes 3", ""},
		{"nothing of that", refused("Requested node configuration is not available", slurm.Request{GPUs: "77"}), []string{"normal", "debug"}, "", "old"},
	} {
		p := Of(c.err)
		for _, w := range c.want {
			if !strings.Contains(p.Hint, w) {
				t.Errorf("%s: the hint %q lacks %q", c.name, p.Hint, w)
			}
		}
		if p.Code != Allocation || p.Fix != c.fix || c.lack != "" && strings.Contains(p.Hint, c.lack) {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
	if p := Of(&slurm.RefusedError{Message: "Invalid partition name specified"}); p.Hint != "" {
		t.Errorf("where nothing is known: %q", p.Hint)
	}
}
