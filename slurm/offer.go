package slurm

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// TimeLimit returns the maximum run time of a job in the partition; false if no limit is known.
func (p Partition) TimeLimit() (time.Duration, bool) { return timeLimit(p.Limit) }

// parseOffer returns the partitions of a line. Each field is sinfo's %P|%a|%l|%D|%m for nodes of
// one kind. parseOffer leaves out invalid fields.
func parseOffer(l line) []Partition {
	var all []Partition
	for _, s := range l.getAll("partition") {
		p, memory, ok := cutPartition(s)
		var err error
		p.Memory, err = strconv.Atoi(strings.TrimSuffix(memory, "+"))
		if ok && err == nil && p.Memory >= 0 && IsNode(p.Name) {
			all = addPartition(all, p)
		}
	}
	return all
}

// cutPartition parses %P|%a|%l|%D of sinfo, and returns the fifth and last field as it is.
func cutPartition(s string) (p Partition, last string, ok bool) {
	f := strings.Split(s, "|")
	if len(f) != 5 || f[0] == "" {
		return p, "", false
	}
	nodes, err := strconv.Atoi(f[3])
	if err != nil || nodes < 0 {
		return p, "", false
	}
	name, isDefault := strings.CutSuffix(f[0], "*")
	return Partition{Name: name, Default: isDefault, Up: f[1] == "up", Limit: f[2], Nodes: nodes}, f[4], true
}

// addPartition adds p, which describes some of a partition's nodes, to the partition of that name.
func addPartition(all []Partition, p Partition) []Partition {
	i := slices.IndexFunc(all, func(have Partition) bool { return have.Name == p.Name })
	if i < 0 {
		return append(all, p)
	}
	all[i].Nodes += p.Nodes
	all[i].Memory = max(all[i].Memory, p.Memory)
	return all
}
