package problem

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/slurm"
)

// An offer is what a cluster has, for a request that does not fit.
type offer struct {
	words      string // Slurm's reason
	request    slurm.Request
	partitions []slurm.Partition
}

// suggestOption returns what the cluster has, and an option that fits, or "" if the cluster sent
// nothing.
func (o offer) suggestOption() (hint, fix string) {
	up := slices.DeleteFunc(slices.Clone(o.partitions), func(p slurm.Partition) bool { return !p.Up })
	if len(up) == 0 {
		return "", ""
	}
	words := strings.ToLower(o.words)
	if p, ok := o.requestedPartition(up); ok {
		switch limit, limited := p.TimeLimit(); {
		case strings.Contains(words, "time"):
			if limited {
				fix = "--time " + p.Limit
				return "partition " + p.Name + " allows " + formatHours(limit) + " at most: " + fix, fix
			}
		case o.asksForNodes(p) && strings.Contains(words, "node"):
			fix = fmt.Sprintf("--nodes %d", p.Nodes)
			return fmt.Sprintf("partition %s has %s: %s", p.Name, formatCount(p.Nodes, "node"), fix), fix
		case o.request.Mem != "" && p.Memory > 0 && (strings.Contains(words, "mem") || strings.Contains(words, "configuration") || strings.Contains(words, "constraints")):
			fix = fmt.Sprintf("--mem %dM", p.Memory)
			return fmt.Sprintf("a node of partition %s has %dM (%s) of memory at most: %s", p.Name, p.Memory, formatGibibytes(p.Memory), fix), fix
		}
	} else if near := site.Nearest(o.request.Partition, partitionNames(up)); near != "" {
		fix = "--partition " + shellescape.Quote(near)
		hint = "did you mean " + fix + "? "
	}
	var parts []string
	for _, p := range up {
		parts = append(parts, describePartition(p))
	}
	return hint + "partitions there: " + strings.Join(parts, "; "), fix
}

// requestedPartition returns the partition that the request names, or the default one. It returns
// false if there is none.
func (o offer) requestedPartition(there []slurm.Partition) (slurm.Partition, bool) {
	for _, p := range there {
		if p.Name == o.request.Partition || o.request.Partition == "" && p.Default {
			return p, true
		}
	}
	return slurm.Partition{}, false
}

// asksForNodes reports whether the request asks for more nodes than the partition has.
func (o offer) asksForNodes(p slurm.Partition) bool {
	from, to, _ := strings.Cut(o.request.Nodes, "-")
	least, err := strconv.Atoi(from)
	most, _ := strconv.Atoi(to) // the upper end of a range may be too large by itself
	return err == nil && p.Nodes > 0 && max(least, most) > p.Nodes
}

func partitionNames(all []slurm.Partition) []string {
	var out []string
	for _, p := range all {
		out = append(out, p.Name)
	}
	return out
}

func describePartition(p slurm.Partition) string {
	var parts []string
	if p.Default {
		parts = append(parts, "the default")
	}
	parts = append(parts, formatCount(p.Nodes, "node"))
	if limit, ok := p.TimeLimit(); ok {
		parts = append(parts, "up to "+formatHours(limit))
	}
	return p.Name + " (" + strings.Join(parts, ", ") + ")"
}

func formatCount(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.Itoa(n) + " " + unit + "s"
}

// formatHours formats a time limit in hours and minutes.
func formatHours(d time.Duration) string {
	h, m := int(d/time.Hour), int(d%time.Hour/time.Minute)
	switch {
	case h == 0:
		return fmt.Sprintf("%d min", m)
	case m == 0:
		return fmt.Sprintf("%d h", h)
	}
	return fmt.Sprintf("%d h %d min", h, m)
}

func formatGibibytes(mebibytes int) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(mebibytes)/1024), ".0") + " GiB"
}
