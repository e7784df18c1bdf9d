package slurm

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// Via selects the commands that request an allocation. All else is the same.
type Via string

const (
	// ViaAuto uses salloc, which Slurm tries at once. If the request has to wait, the remote half
	// takes it back and gives it to sbatch in the same moment. It then needs no process on the
	// login node. If one command refuses the request, the other one is asked, and a Note says so.
	ViaAuto Via = "auto"
	// ViaSalloc uses salloc alone: a process on the login node, with which a pending request ends.
	ViaSalloc Via = "salloc"
	// ViaSbatch uses sbatch alone. Slurm's scheduler tries the request at its next turn, mostly
	// within a second. From the request to the end, no process on the login node is needed.
	ViaSbatch Via = "sbatch"
)

// Vias are all values of Via; the zero value means ViaAuto.
var Vias = []Via{ViaAuto, ViaSalloc, ViaSbatch}

func (r Request) effectiveVia() Via { return cmp.Or(r.Via, ViaAuto) }

// deadlineValue returns the value of salloc's --deadline for a request that may wait for this time;
// "": none. Slurm removes a pending job that can no longer end before its deadline, so the deadline
// is the wait and the time limit from now. Slurm leaves a job that runs at its deadline alone (seen
// on 24.11, with a time limit that was raised beyond it). So a job that was granted in time is
// never cut.
//
// Without a time limit in the request, there is no deadline. Slurm counts with the partition's
// default, which is unknown here. It refuses a deadline that is too near for this default, and one
// that is too far would allow hours of waiting. The job's owner may not add a deadline later.
func (r Request) deadlineValue(wait time.Duration) string {
	limit, ok := timeLimit(r.Time)
	if !ok || wait <= 0 {
		return ""
	}
	if slices.ContainsFunc(r.Extra, func(word string) bool { return hasOption(word, "deadline", "time-min", "time") }) {
		return "" // the user's own deadline, or another time limit
	}
	return "now+" + strconv.FormatInt(int64((wait+limit+time.Second-1)/time.Second), 10)
}

// TimeLimit returns how long the job may run; false if the site decides. Slurm takes the last
// option, so an option in Extra overrides Time.
func (r Request) TimeLimit() (time.Duration, bool) {
	limit := ""
	for _, option := range canonicalOptions(r.Args()) {
		if value, ok := strings.CutPrefix(option, "--time="); ok {
			limit = value
		}
	}
	return timeLimit(limit)
}

// timeLimit parses a time limit. It returns false if there is no limit, or if it is the site's.
func timeLimit(s string) (time.Duration, bool) {
	limit, _ := parseLimit(s)
	return limit, limit > 0
}

// CommandLines returns the shell commands of the request. {dir} is the session's directory.
func (r Request) CommandLines(id string) []string {
	// The user's options come last, so none of them can take a word of ours as its value.
	sbatch := shellescape.QuoteCommand([]string{"sbatch", "--parsable", "--job-name=" + JobName(id), "--export=ALL", "--no-requeue"}) +
		` --output={dir}/batch.log --wrap='exec bash --noprofile --norc -p {dir}/remote.sh batch'`
	if args := r.Args(); len(args) > 0 {
		sbatch += " " + shellescape.QuoteCommand(args)
	}
	argv := []string{"salloc", "--no-shell", "--job-name=" + JobName(id)}
	if d := r.deadlineValue(r.QueueTimeout); d != "" && r.effectiveVia() == ViaSalloc {
		argv = append(argv, "--deadline="+d)
	}
	salloc := shellescape.QuoteCommand(append(argv, r.Args()...))
	switch {
	case r.effectiveVia() == ViaSalloc:
		return []string{salloc}
	case r.effectiveVia() == ViaSbatch, r.Left:
		return []string{sbatch}
	}
	return []string{salloc, "# if it has to wait:", sbatch}
}

func (r Request) writeVars(v *vars) {
	v.setList("cscs_salloc_args", r.Args())
	v.setList("cscs_requested", canonicalOptions(r.Args()))
	v.setValue("cscs_via", string(r.effectiveVia()))
	v.setFlag("cscs_unattended", r.Left)
	v.setValue("cscs_deadline", r.deadlineValue(r.QueueTimeout))
}
