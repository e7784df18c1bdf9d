package slurm

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// The cluster's answers become part of addresses, messages and commands that the user pastes on the
// client. So this file checks names and numbers as they arrive.

var (
	jobNumber  = regexp.MustCompile(`^[1-9][0-9]{0,18}([_+][0-9]{1,18})?$`)
	stepNumber = regexp.MustCompile(`^[0-9]{1,19}([_+][0-9]{1,18})?$`)
	nodeName   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?$`)
)

// IsJob reports whether s is the number of a job, as Slurm prints it (squeue(1), %i).
func IsJob(s string) bool { return jobNumber.MatchString(s) }

// IsNode reports whether s is the name of one node.
func IsNode(s string) bool { return nodeName.MatchString(s) }

// jobOf returns s if it is the number of a job, otherwise "".
func jobOf(s string) string {
	if !IsJob(s) {
		return ""
	}
	return s
}

// A fieldRule states what a field of an answer must be.
type fieldRule struct {
	key  string
	what string
	good func(string) bool
	// needed are the kinds of lines that must have it; in others it may be missing or empty.
	needed []string
}

var fieldRules = []fieldRule{
	{"job", "job", IsJob, []string{"pending", "queue", "granted", "alive"}},
	{"step", "step", stepNumber.MatchString, []string{"alive"}},
	{"node", "node", IsNode, []string{"alive", "node", "hostkey"}},
	{"port", "port", isPort, []string{"listening", "elsewhere", "vanished"}},
	{"addr", "address", isAddr, []string{"listening", "elsewhere", "vanished"}},
}

// checkFields returns an error if a field of the line is not what it must be: the host that sent
// the line is not reliable. Rows of a list are checked one by one (see parseFound).
func (l line) checkFields() error {
	if l.kind == "session" || l.kind == "swept" {
		return nil
	}
	for _, r := range fieldRules {
		value := l.get(r.key)
		if value == "" && !slices.Contains(r.needed, l.kind) || r.good(value) {
			continue
		}
		return &RemoteError{Kind: "protocol", Message: fmt.Sprintf("the login node's answer (%.20q) contains %.60q, which is not a valid %s", l.kind, value, r.what)}
	}
	return nil
}

// isListed reports whether a row of a list describes a session.
func (l line) isListed() bool { return sessionid.IsID(l.get("id")) }

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func isAddr(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// reachableAddresses returns the texts that are addresses by which another host can reach the node,
// at most four.
func reachableAddresses(texts []string) []string {
	var found []string
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if err == nil && a.Zone() == "" && a.IsGlobalUnicast() && len(found) < 4 {
			found = append(found, a.String())
		}
	}
	return found
}
