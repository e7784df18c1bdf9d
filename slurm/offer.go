package slurm

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// TimeLimit returns the maximum run time of a job in the partition; false if there is no limit, or
// none is known.
func (p Partition) TimeLimit() (time.Duration, bool) { return timeLimit(p.Limit) }

// parseOffer returns the partitions of a line. Each field is sinfo's %P|%a|%l|%D|%m for nodes of
// one kind. parseOffer leaves out invalid fields.
func parseOffer(l line) []Partition {
	var all []Partition
	for _, s := range l.getAll("partition") {
		f := strings.Split(s, "|")
		if len(f) != 5 {
			continue
		}
		nodes, nodesErr := strconv.Atoi(f[3])
		memory, memoryErr := strconv.Atoi(strings.TrimSuffix(f[4], "+"))
		name := strings.TrimSuffix(f[0], "*")
		if nodesErr != nil || memoryErr != nil || nodes < 0 || memory < 0 || !IsNode(name) {
			continue
		}
		if i := slices.IndexFunc(all, func(p Partition) bool { return p.Name == name }); i >= 0 {
			all[i].Nodes += nodes
			all[i].Memory = max(all[i].Memory, memory)
			continue
		}
		all = append(all, Partition{Name: name, Default: strings.HasSuffix(f[0], "*"), Up: f[1] == "up", Limit: f[2], Nodes: nodes, Memory: memory})
	}
	return all
}
