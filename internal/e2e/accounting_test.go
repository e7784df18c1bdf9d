//go:build lab

package e2e

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The tests of this file are of a lab with accounting (scripts/lab up --accounting); in
// one without, TestMain leaves them out.

// TestAccountingRefusals: what the accounts do not permit is exit code 4, with Slurm's
// own words and, where she has some, alice's accounts. What can never start is told at
// once.
func TestAccountingRefusals(t *testing.T) {
	const accounts = "g110, g120, spent"
	for _, c := range []struct {
		name    string
		user    string
		flags   []string
		problem string
		says    []string
		hint    string
	}{
		{"account", "alice", []string{"-A", "nosuch"}, "slurm-refused", []string{"invalid account or account/partition combination specified"}, accounts},
		{"qos", "alice", []string{"-q", "nosuch"}, "slurm-refused", []string{"invalid qos specification"}, accounts},
		{"no-account", "mallory", nil, "slurm-refused", []string{"invalid account or account/partition combination specified"}, ""},
		// Its budget is used up, which no waiting changes.
		{"spent", "alice", []string{"-A", "spent"}, "never-starts", []string{"AssocGrpCPUMinutesLimit"}, accounts},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			words := append([]string{lab.bin, "run", "--json", "--no-browser", "--verbose", "--cluster", "daint"}, c.flags...)
			began := time.Now()
			s := &session{background: start(t, as(context.Background(), c.user, "laptop", append(words, "--", "sleep", "600")...))}
			e := s.failure(4, c.problem)
			if d := time.Since(began); d > 15*time.Second {
				t.Errorf("it took %v to say so", d)
			}
			says(t, e.Message, c.says...)
			says(t, e.Hint, c.hint)
			if _, granted := s.find("granted"); granted {
				t.Error("granted, and yet refused")
			}
		})
	}
}

// TestAccountingAccount: the account that a job is charged to is told when it is granted.
func TestAccountingAccount(t *testing.T) {
	for _, c := range []struct {
		flags   []string
		account string
	}{
		{nil, "g110"}, // her default
		{[]string{"-A", "g120"}, "g120"},
	} {
		t.Run(c.account, func(t *testing.T) {
			begin(t)
			s := serve(t, c.flags)
			if g := s.wait("granted"); g.Account != c.account {
				t.Errorf("granted to account %q", g.Account)
			}
			if _, body := get(t, s.ready().URL); !strings.HasPrefix(body, "alice") {
				t.Errorf("GET: %s", body)
			}
			closeReady(t, s)
		})
	}
}

// TestAccountingDoctor: the doctor knows whose accounts are whose, and how many jobs may be.
func TestAccountingDoctor(t *testing.T) {
	begin(t)
	all, code := asksDoctor(t)
	if s := of(all, "account"); s.Status != "ok" || code != 0 {
		t.Errorf("%+v, exit code %d", s, code)
	}
	says(t, of(all, "account").Seen, "g110", "g120")

	all, code = asksDoctor(t, "--account", "nosuch")
	s := of(all, "account")
	if s.Status != "failure" || s.Problem != "account" || s.Fix != "--account g110" || code != 4 {
		t.Errorf("%+v, exit code %d", s, code)
	}
	all, _ = asksDoctor(t, strings.Fields(s.Fix)...)
	if s := of(all, "account"); s.Status != "ok" {
		t.Errorf("%+v", s)
	}

	limit := func(n string) {
		output(t, "root", "ctl", "sacctmgr", "-i", "modify", "user", "alice", "where", "account=g110", "set", "maxsubmitjobs="+n)
	}
	t.Cleanup(func() { limit("-1") })
	occupy(t, "alice", "-A", "g110", "-w", "nid001001")
	limit("1")
	all, _ = asksDoctor(t, "--account", "g110")
	if s := of(all, "sessions"); s.Status != "warning" || s.Problem != "quota" || !strings.Contains(s.Seen, "1 of at most 1 jobs") {
		t.Errorf("%+v", s)
	}
	limit("2")
	all, _ = asksDoctor(t, "--account", "g110")
	if s := of(all, "sessions"); s.Status != "ok" {
		t.Errorf("%+v", s)
	}
}

// TestAccountingDoctorStranger: somebody without any account is told so.
func TestAccountingDoctorStranger(t *testing.T) {
	begin(t)
	out, err := try(t, "mallory", "laptop", lab.bin, "doctor", "--cluster", "daint")
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 4 {
		t.Errorf("%v", err)
	}
	says(t, out, "Slurm knows no account of yours on this cluster", "sacctmgr show associations")
}
