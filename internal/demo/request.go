package demo

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alps-tunnel/cscs/slurm"
)

// A request is the meaning of salloc's or sbatch's arguments.
type request struct {
	partition string
	limit     time.Duration
	nodes     int
	nodelist  []string
	begin     time.Duration // from now
}

// BusyPartition is a partition whose jobs wait as if other users' jobs came first: busyWait, or
// as long as --begin says.
const BusyPartition = "busy"

// The partitions. No job ever starts in downPartition.
const (
	defaultPartition = "normal"
	downPartition    = "down"
	defaultLimit     = time.Hour
	busyWait         = 10 * time.Second
)

var partitions = map[string]time.Duration{
	defaultPartition: 24 * time.Hour, "debug": 30 * time.Minute, BusyPartition: 24 * time.Hour, downPartition: 24 * time.Hour,
}

const unlimited = 365 * 24 * time.Hour

// knownOptions are options of salloc(1) and sbatch(1) that the demo accepts without effect.
var knownOptions = strings.Fields(`account qos mem gpus gpus-per-node gres exclusive cpus-per-task ntasks ntasks-per-node
	comment wckey deadline time-min mail-type mail-user signal hint licenses network overcommit uenv view cpus-per-gpu mem-per-cpu mem-per-gpu
	tasks-per-node threads-per-core switches requeue no-requeue nice priority immediate`)

// parseRequest parses the arguments. refusal is the message of salloc or sbatch (program), or ""
// if it would accept them.
func parseRequest(program string, args []string) (r request, refusal string) {
	fail := func(words string) string { return program + ": error: " + words }
	refused := func(words string) string {
		verb := map[string]string{"salloc": "Job submit/allocate failed: ", "sbatch": "Batch job submission failed: "}[program]
		return fail(verb + words)
	}
	r = request{partition: defaultPartition, limit: defaultLimit, nodes: 1}
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		switch {
		case !strings.HasPrefix(arg, "--"):
			return request{}, fail("invalid option: " + arg)
		case name == "time":
			if slurm.CheckTime(value) != nil {
				return request{}, fail("Invalid --time specification")
			}
			limit, ok := slurm.Request{Time: value}.TimeLimit()
			if !ok {
				limit = unlimited
			}
			r.limit = limit
		case name == "partition":
			if _, ok := partitions[value]; !ok {
				return request{}, refused("Invalid partition name specified")
			}
			r.partition = value
		case name == "nodes":
			least, _, _ := strings.Cut(value, "-")
			n, err := strconv.Atoi(least)
			if err != nil || n < 1 || n > len(nodeNames) {
				return request{}, refused("Node count specification invalid")
			}
			r.nodes = n
		case name == "nodelist":
			nodes, err := slurm.Hostlist(value)
			if err != nil || slices.ContainsFunc(nodes, func(n string) bool { return !slices.Contains(nodeNames, n) }) {
				return request{}, refused("Invalid node name specified")
			}
			r.nodelist, r.nodes = nodes, max(r.nodes, len(nodes))
		case name == "begin":
			d, ok := parseBegin(value)
			if !ok {
				return request{}, fail("Invalid --begin specification")
			}
			r.begin = d
		case name == "reservation":
			return request{}, refused("Requested reservation is invalid")
		case name == "constraint":
			return request{}, refused("Invalid feature specification")
		case !slices.Contains(knownOptions, name):
			return request{}, program + ": unrecognized option '" + arg + "'"
		}
	}
	return r, ""
}

// parseBegin parses "now+COUNT" with an optional unit, by default seconds (salloc(1), --begin).
func parseBegin(s string) (time.Duration, bool) {
	after, ok := strings.CutPrefix(s, "now")
	if !ok {
		return 0, false
	}
	after = strings.TrimPrefix(after, "+")
	if after == "" {
		return 0, true
	}
	digits := strings.TrimRight(after, "abcdefghijklmnopqrstuvwxyz")
	n, err := strconv.Atoi(digits)
	unit, known := map[string]time.Duration{"": time.Second, "seconds": time.Second, "minutes": time.Minute, "hours": time.Hour}[after[len(digits):]]
	return time.Duration(n) * unit, err == nil && known
}

// minDelay returns the least time that the job waits.
func (r request) minDelay() time.Duration {
	if r.partition == BusyPartition && r.begin == 0 {
		return busyWait
	}
	return r.begin
}

// pendingReason returns Slurm's reason why the job cannot start, or "".
func (r request) pendingReason() string {
	switch {
	case r.limit > partitions[r.partition]:
		return "PartitionTimeLimit"
	case r.partition == downPartition:
		return "PartitionDown"
	}
	return ""
}
