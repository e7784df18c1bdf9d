//go:build lab

package e2e

import (
	"context"
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
		name  string
		user  string
		flags []string
		says  []string
		hint  string
	}{
		{"account", "alice", []string{"-A", "nosuch"}, []string{"invalid account or account/partition combination specified"}, accounts},
		{"qos", "alice", []string{"-q", "nosuch"}, []string{"invalid qos specification"}, accounts},
		{"no-account", "mallory", nil, []string{"invalid account or account/partition combination specified"}, ""},
		// Its budget is used up, which no waiting changes.
		{"spent", "alice", []string{"-A", "spent"}, []string{"AssocGrpCPUMinutesLimit"}, accounts},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			words := append([]string{lab.bin, "run", "--json", "--no-browser", "--cluster", "daint"}, c.flags...)
			began := time.Now()
			s := &session{background: start(t, as(context.Background(), c.user, "laptop", append(words, "--", "sleep", "600")...))}
			e := s.failure(4)
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
