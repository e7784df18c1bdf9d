package main

import (
	"errors"
	"fmt"
	"strings"
)

// taken are the options of salloc that cscs needs for itself or that would keep it from hearing
// what salloc says, and why.
var taken = []struct{ long, short, why string }{
	{"no-shell", "", "cscs sets it itself"},
	{"job-name", "J", "cscs finds its job by the name that it gives it"},
	{"quiet", "Q", "cscs reads what salloc says"},
	{"array", "", "a session is one job"},
	{"wait", "", "cscs waits itself"},
	{"wrap", "", "cscs brings what is to be run"},
	{"test-only", "", "it allocates nothing"},
	{"parsable", "", "cscs sets it itself"},
	{"clusters", "M", "name the other cluster with --cluster"},
	{"help", "h", "it allocates nothing"},
	{"usage", "", "it allocates nothing"},
	{"version", "V", "it allocates nothing"},
}

// checkSlurm looks at one --slurm: any option that salloc(1) knows, as one word.
// Whether salloc does know it, it says itself.
func checkSlurm(s string) error {
	long, isLong := strings.CutPrefix(s, "--")
	switch {
	case !strings.HasPrefix(s, "-") || s == "-" || s == "--":
		return errors.New("it must be an option of salloc's, as in --slurm='--exclusive'")
	case isLong:
		name, _, _ := strings.Cut(long, "=")
		if n, rest, ok := strings.Cut(name, " "); ok {
			return fmt.Errorf("it must be one word: --slurm='--%s=%s'", n, strings.TrimSpace(rest))
		}
		for _, o := range taken {
			// getopt_long takes any unambiguous beginning of a name for it.
			if len(name) > 2 && strings.HasPrefix(o.long, name) {
				return errors.New(o.why)
			}
		}
	default:
		for _, o := range taken {
			if o.short != "" && strings.HasPrefix(s[1:], o.short) {
				return errors.New(o.why)
			}
		}
		if len(s) > 2 && s[2] == ' ' {
			return fmt.Errorf("it must be one word: --slurm='%s%s'", s[:2], strings.TrimSpace(s[2:]))
		}
	}
	return nil
}
