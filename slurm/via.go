package slurm

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// Via is how an allocation is asked for. What is asked for, and what happens after the
// grant, is the same.
type Via string

const (
	// ViaAuto: by salloc, which Slurm tries at once. A request that has to wait is taken back and given
	// to sbatch in the same moment, so that no process on the login node is needed while it waits.
	// Where one of the two does not take the request, the other is asked, and a note says so.
	ViaAuto Via = "auto"
	// ViaSalloc: by salloc alone, a process on the login node, with which the request ends.
	ViaSalloc Via = "salloc"
	// ViaSbatch: by sbatch alone. Slurm's scheduler tries it when it has a turn, mostly within a
	// second. No process on the login node is needed, from the request to the end.
	ViaSbatch Via = "sbatch"
)

// Vias are all of them; the zero value means ViaAuto.
var Vias = []Via{ViaAuto, ViaSalloc, ViaSbatch}

func (r Request) effectiveVia() Via {
	if r.Via == "" {
		return ViaAuto
	}
	return r.Via
}

// deadlineValue is the value of salloc's --deadline for a request that may wait for so long;
// "": none. Slurm takes a pending job away once it could not end before its deadline any more,
// so that is the wait and the time limit. A job that is running at its deadline is left
// alone (seen on 24.11, with a time limit that was raised beyond it), so none that was
// granted in time is ever cut.
//
// Where the time limit is the partition's default, it is not known here: Slurm counts with
// it all the same, refuses a deadline that is too near for it, and would let one that is too
// far lapse into hours. Then there is none; nor can it be added later, since a job's owner
// may not change it.
func (r Request) deadlineValue(wait time.Duration) string {
	limit, ok := timeLimit(r.Time)
	if !ok || wait <= 0 {
		return ""
	}
	if slices.ContainsFunc(r.Extra, func(word string) bool { return hasOption(word, "deadline", "time-min", "time") }) {
		return "" // the user's own, or another time limit
	}
	return "now+" + strconv.FormatInt(int64((wait+limit+time.Second-1)/time.Second), 10)
}

// TimeLimit is how long the job may run; false: it is for the site to say. Slurm takes the
// last option, so that one in Extra overrides Time.
func (r Request) TimeLimit() (time.Duration, bool) {
	limit := ""
	for _, option := range canonicalOptions(r.Args()) {
		if value, ok := strings.CutPrefix(option, "--time="); ok {
			limit = value
		}
	}
	return timeLimit(limit)
}

// timeLimit reads a time limit as CheckTime has it, rounded up to minutes as Slurm does.
// false: there is none, or it is the site's.
func timeLimit(s string) (time.Duration, bool) {
	if s == "" || CheckTime(s) != nil {
		return 0, false
	}
	n := func(s string) int {
		v, _ := strconv.Atoi(s) // CheckTime has been here; UNLIMITED is 0
		return v
	}
	seconds := 0
	days, hms, long := strings.Cut(s, "-")
	if !long {
		hms = days
	}
	parts := strings.Split(hms, ":")
	units := []int{3600, 60, 1}
	switch {
	case long:
		seconds = n(days) * 24 * 3600
	case len(parts) < 3:
		units = units[1:] // minutes, minutes:seconds
	}
	for i, p := range parts {
		seconds += n(p) * units[i]
	}
	minutes := (seconds + 59) / 60
	return time.Duration(minutes) * time.Minute, minutes > 0
}

// CommandLines returns the commands that ask for the allocation, as a shell would have to
// be given them. {dir} is the session's directory.
func (r Request) CommandLines(id string) []string {
	// The user's options come last: none of them can take a word of ours for its value.
	sbatch := shellescape.QuoteCommand([]string{"sbatch", "--parsable", "--job-name=" + JobName(id), "--export=ALL", "--no-requeue"}) +
		` --output={dir}/batch.log --wrap='exec bash --noprofile --norc -p {dir}/remote.sh batch'`
	if args := r.Args(); len(args) > 0 {
		sbatch += " " + shellescape.QuoteCommand(args)
	}
	argv := []string{"salloc", "--no-shell", "--job-name=" + JobName(id)}
	if d := r.deadlineValue(r.Patience); d != "" && r.effectiveVia() == ViaSalloc {
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
	if r.Left {
		v.setValue("cscs_unattended", "1")
	}
	v.setValue("cscs_deadline", r.deadlineValue(r.Patience))
}
