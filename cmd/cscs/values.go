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

// A value is a flag that is parsed when it is set: by the command line, the environment or a file.
type value[T any] struct {
	to    *T
	kind  string // shown by the help
	text  string // as it was last set; "": not set, so that the help shows no default
	parse func(string) (T, error)
}

func (v *value[T]) String() string { return v.text }

func (v *value[T]) Type() string { return v.kind }

// Set implements pflag.Value.
func (v *value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err == nil {
		*v.to, v.text = parsed, s
	}
	return err
}

// checkText refuses an empty text and control characters. multiline allows all of these but NUL.
func checkText(s string, multiline bool) error {
	switch {
	case s == "":
		return errors.New("it is empty")
	case strings.ContainsFunc(s, unicode.IsControl) && (!multiline || strings.Contains(s, "\x00")):
		return errors.New("it has a control character in it")
	}
	return nil
}

// acceptAny is the check of a flag that takes any text.
func acceptAny(string) error { return nil }

// checkWord refuses a value that looks like the next flag, since the value may have been forgotten.
func checkWord(s string) error {
	if strings.HasPrefix(s, "-") {
		return errors.New("it looks like a flag: is the value missing?")
	}
	return nil
}

// parsePort returns the parser of a port. zero says what to write instead of 0.
func parsePort(zero string) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		switch {
		case err != nil:
			err = errors.New("a port is a number from 1 to 65535")
		case n == 0:
			err = errors.New("a port is a number from 1 to 65535; " + zero)
		case n < 0 || n > 65535:
			err = errors.New("a port is at most 65535 and at least 1")
		}
		return n, err
	}
}

// parseProtect returns nil for auto.
func parseProtect(s string) (*bool, error) {
	if s == "auto" {
		return nil, nil
	}
	b, err := strconv.ParseBool(s)
	return &b, err
}

// parseTime returns a time limit as Slurm takes it.
func parseTime(s string) (string, error) {
	limit, err := slurm.ParseTime(s)
	if err != nil {
		err = errors.New("it is no time limit of Slurm's: write 2h, 90m, 1d12h, MINUTES, HOURS:MINUTES:SECONDS or DAYS-HOURS[:MINUTES[:SECONDS]]")
	}
	return limit, err
}

func parseVia(s string) (slurm.Via, error) {
	if !slices.Contains(slurm.Vias, slurm.Via(s)) {
		return "", errors.New("it is auto, salloc or sbatch")
	}
	return slurm.Via(s), nil
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

// shortest returns the least value of a flag: usual, or that of a variable for tests.
func shortest(usual time.Duration, variable string) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(variable)); err == nil && d > 0 {
		return d
	}
	return usual
}

// parseLease refuses a lease that a live client might be unable to renew in time over a slow network.
func parseLease(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch floor := shortest(2*time.Minute, "CSCS_LEASE_FLOOR"); {
	case err != nil || d < 0:
		err = errors.New("a time span is written as in 2m, 90m or 12h")
	case d != 0 && d < floor:
		err = fmt.Errorf("a lease is at least %v, or 0s for none", floor)
	}
	return d, err
}

// parseIdle refuses a time that is not longer than the pauses of users.
func parseIdle(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch floor := shortest(time.Minute, "CSCS_IDLE_FLOOR"); {
	case err != nil || d < 0:
		err = errors.New("a time span is written as in 30m, 2h or 90m")
	case d != 0 && d < floor:
		err = fmt.Errorf("the time without use is at least %v, or 0s for no end to it", floor)
	}
	return d, err
}

func parsePersist(s string) (*time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d != 0 && d < time.Second {
		return nil, errors.New("a time span is at least 1s, as in 10m or 2h, or 0s for none")
	}
	return &d, nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		err = errors.New("a time span is more than 0, as in 90s, 30m or 12h")
	}
	return d, err
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
