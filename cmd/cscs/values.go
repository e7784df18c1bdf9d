package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alps-tunnel/cscs/slurm"
)

// A value is a flag that checks its values from all sources: the command line, the environment, config.toml.
type value struct {
	to    *[]string
	kind  string // shown by the help
	many  bool   // may be given repeatedly
	free  bool   // may contain line ends and tabs
	check func(string) error
}

func (v *value) String() string {
	if v == nil || v.to == nil {
		return ""
	}
	return strings.Join(*v.to, ", ")
}

func (v *value) Type() string { return v.kind }

// Set implements pflag.Value.
func (v *value) Set(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case strings.ContainsFunc(s, unicode.IsControl) && (!v.free || strings.Contains(s, "\x00")):
		return errors.New("it has a control character in it")
	}
	if v.check != nil {
		if err := v.check(s); err != nil {
			return err
		}
	}
	if v.many {
		*v.to = append(*v.to, s)
	} else {
		*v.to = []string{s}
	}
	return nil
}

// lastValue returns the value of a flag that takes one value, or "".
func lastValue(v []string) string {
	if len(v) == 0 {
		return ""
	}
	return v[len(v)-1]
}

// checkWord refuses a value that looks like the next flag, since the value may have been forgotten.
func checkWord(s string) error {
	if strings.HasPrefix(s, "-") {
		return errors.New("it looks like a flag: is the value missing?")
	}
	return nil
}

// checkPort returns the check of a port. zero says what to write instead of 0.
func checkPort(zero string) func(string) error {
	return func(s string) error {
		n, err := strconv.Atoi(s)
		switch {
		case err != nil:
			return errors.New("a port is a number from 1 to 65535")
		case n == 0:
			return errors.New("a port is a number from 1 to 65535; " + zero)
		case n < 0 || n > 65535:
			return errors.New("a port is at most 65535 and at least 1")
		}
		return nil
	}
}

func portValue(v []string) int {
	n, _ := strconv.Atoi(lastValue(v)) // checkPort has checked it
	return n
}

func checkTime(s string) error {
	if _, err := slurm.ParseTime(s); err != nil {
		return errors.New("it is no time limit of Slurm's: write 2h, 90m, 1d12h, MINUTES, HOURS:MINUTES:SECONDS or DAYS-HOURS[:MINUTES[:SECONDS]]")
	}
	return nil
}

func checkVia(s string) error {
	if !slices.Contains(slurm.Vias, slurm.Via(s)) {
		return errors.New("it is auto, salloc or sbatch")
	}
	return nil
}

var nodeCount = regexp.MustCompile(`^(\d+)([kKmM]?)(?:-(\d+)([kKmM]?))?$`)

// checkNodes accepts a number or a range (salloc(1), --nodes). Slurm's lists of sizes need --slurm.
func checkNodes(s string) error {
	m := nodeCount.FindStringSubmatch(s)
	bad := errors.New("the number of nodes is a number from 1 on, or a range: 2-4")
	if m == nil {
		return bad
	}
	least, most := parseNodeCount(m[1], m[2]), parseNodeCount(m[3], m[4])
	if least < 1 || m[3] != "" && most < least {
		return bad
	}
	return nil
}

// parseNodeCount returns a number with an optional unit k (1024) or m (1024 * 1024). It returns 0 for any other text.
func parseNodeCount(digits, unit string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	switch strings.ToLower(unit) {
	case "k":
		n *= 1024
	case "m":
		n *= 1024 * 1024
	}
	return n
}

// leaseFloor returns the shortest lease. A live client must be able to renew it over a slow network.
// CSCS_LEASE_FLOOR is for tests.
func leaseFloor() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("CSCS_LEASE_FLOOR")); err == nil && d > 0 {
		return d
	}
	return 2 * time.Minute
}

func checkLease(s string) error {
	d, err := time.ParseDuration(s)
	switch floor := leaseFloor(); {
	case err != nil || d < 0:
		return errors.New("a time span is written as in 2m, 90m or 12h")
	case d != 0 && d < floor:
		return fmt.Errorf("a lease is at least %v, or 0s for none", floor)
	}
	return nil
}

// idleFloor returns the shortest value of --idle. Users pause for less than that. CSCS_IDLE_FLOOR is for tests.
func idleFloor() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("CSCS_IDLE_FLOOR")); err == nil && d > 0 {
		return d
	}
	return time.Minute
}

func checkIdle(s string) error {
	d, err := time.ParseDuration(s)
	switch floor := idleFloor(); {
	case err != nil || d < 0:
		return errors.New("a time span is written as in 30m, 2h or 90m")
	case d != 0 && d < floor:
		return fmt.Errorf("the time without use is at least %v, or 0s for no end to it", floor)
	}
	return nil
}

func checkPersist(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d != 0 && d < time.Second {
		return errors.New("a time span is at least 1s, as in 10m or 2h, or 0s for none")
	}
	return nil
}

func checkDuration(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("a time span is more than 0, as in 90s, 30m or 12h")
	}
	return nil
}

func durationValue(v []string) time.Duration {
	d, _ := time.ParseDuration(lastValue(v)) // checkDuration has checked it
	return d
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func checkEnv(s string) error {
	name, _, ok := strings.Cut(s, "=")
	switch {
	case !ok:
		return errors.New("it must be of the form NAME=VALUE")
	case !envName.MatchString(name):
		return fmt.Errorf("%q is no name for an environment variable", name)
	}
	return nil
}

func checkFile(s string) error {
	path := expandHome(s)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("there is no such file")
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a directory")
	}
	return nil
}

// expandHome replaces a leading ~ that the shell has not expanded, as in --identity=~/key.
func expandHome(p string) string {
	if home, err := os.UserHomeDir(); err == nil && (p == "~" || strings.HasPrefix(p, "~/")) {
		return filepath.Join(home, p[1:])
	}
	return p
}

var userName = regexp.MustCompile(`^[^\s:@/\\-][^\s:@/\\]*$`)

func checkUser(s string) error {
	if !userName.MatchString(s) {
		return errors.New("it is no user name")
	}
	return nil
}

var nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

func checkNode(s string) error {
	if !nodeName.MatchString(s) {
		return errors.New("it is the name of one node, as in nid006554")
	}
	return nil
}

var jobNumber = regexp.MustCompile(`^[1-9][0-9]*(_[0-9]+|\+[0-9]+)?$`)

func checkJob(s string) error {
	if !jobNumber.MatchString(s) {
		return errors.New("a job is a number")
	}
	return nil
}
