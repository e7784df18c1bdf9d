package slurm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Request is a request for an allocation, in the terms of salloc(1). Empty fields mean the site's
// defaults.
type Request struct {
	Time        string // --time
	Account     string
	Partition   string
	QOS         string
	Nodes       string // a number or a range, "2-4"
	Nodelist    string
	GPUs        string // a number or type:number
	Mem         string
	Constraint  string
	Reservation string
	Extra       []string // further options, each as one word: "--exclusive"

	Via          Via           // the commands that request the job
	Left         bool          // no client waits: ViaAuto uses sbatch alone, since a request of salloc's needs a client
	QueueTimeout time.Duration // how long the job may wait in the queue; 0: forever
}

// Args returns salloc's arguments, without cscs's own (--no-shell, --job-name). Every option is one
// word, so none is taken as another's value.
func (r Request) Args() []string {
	var args []string
	for _, o := range []struct{ name, value string }{
		{"--time", r.Time},
		{"--account", r.Account},
		{"--partition", r.Partition},
		{"--qos", r.QOS},
		{"--nodes", r.Nodes},
		{"--nodelist", r.Nodelist},
		{"--gpus", r.GPUs},
		{"--mem", r.Mem},
		{"--constraint", r.Constraint},
		{"--reservation", r.Reservation},
	} {
		if o.value != "" {
			args = append(args, o.name+"="+o.value)
		}
	}
	return append(args, r.Extra...)
}

// JobName returns the name of the session's job, which finds it even if its number never arrived.
func JobName(id string) string { return "cscs-" + id }

// CheckTime returns an error unless s is a time limit in a form that Slurm takes: minutes,
// minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
// days-hours:minutes:seconds, UNLIMITED or INFINITE. Zero means no limit (salloc(1), --time).
func CheckTime(s string) error {
	if _, ok := parseLimit(s); !ok {
		return fmt.Errorf("time limit %q is in no form that Slurm accepts: use minutes, hours:minutes:seconds or days-hours", s)
	}
	return nil
}

// parseLimit parses a time limit and rounds it up to minutes, as Slurm does; 0: no limit. It returns
// false if s is in none of the forms of CheckTime.
func parseLimit(s string) (limit time.Duration, ok bool) {
	switch strings.ToUpper(s) {
	case "UNLIMITED", "INFINITE":
		return 0, true
	}
	days, rest, long := strings.Cut(s, "-")
	if !long {
		days, rest = "0", s
	}
	hms, units := strings.Split(rest, ":"), []int{24 * 3600, 3600, 60, 1}
	if !long && len(hms) < 3 {
		units = []int{0, 60, 1} // minutes, minutes:seconds
	}
	seconds := 0
	for i, p := range append([]string{days}, hms...) {
		n, err := strconv.Atoi(p)
		if err != nil || !isNumber(p) || len(hms) > 3 {
			return 0, false
		}
		seconds += n * units[i]
	}
	return time.Duration((seconds+59)/60) * time.Minute, true
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
