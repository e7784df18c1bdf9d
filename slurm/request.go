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

	Via      Via           // the commands that request the job
	Left     bool          // no client waits: ViaAuto uses sbatch alone, since a request of salloc's needs a client
	Patience time.Duration // how long the job may wait in the queue; 0: forever
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

// JobName returns the name of the session's job. The name finds the job even if its number never
// reached the client.
func JobName(id string) string { return "cscs-" + id }

// CheckTime returns an error unless s is a time limit in a form that Slurm takes: minutes,
// minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
// days-hours:minutes:seconds, UNLIMITED or INFINITE. Zero means no limit (salloc(1), --time).
func CheckTime(s string) error {
	switch strings.ToUpper(s) {
	case "UNLIMITED", "INFINITE":
		return nil
	}
	var parts []string
	rest := s
	if days, tail, ok := strings.Cut(s, "-"); ok {
		parts = append(parts, days)
		rest = tail
	}
	hms := strings.Split(rest, ":")
	for _, p := range append(parts, hms...) {
		if _, err := strconv.Atoi(p); err != nil || !isNumber(p) || len(hms) > 3 {
			return fmt.Errorf("time limit %q is in no form that Slurm accepts: use minutes, hours:minutes:seconds or days-hours", s)
		}
	}
	return nil
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
