//go:build unix

package main

import (
	"crypto/ed25519"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// TestStatusAgent: that there is an agent is told also where no file says which key is meant; and
// that a key is in any of several is enough.
func TestStatusAgent(t *testing.T) {
	private, signer := sshtest.NewPair(t)
	with, without, none := agentWith(t, private), agentWith(t), key.FindAgent("none")
	gone := key.FindAgent(filepath.Join(t.TempDir(), "gone"))
	known, unknown := key.State{Public: signer.PublicKey()}, key.State{}
	for _, c := range []struct {
		state  key.State
		agents []key.Agent
		want   string
		words  string
	}{
		{known, []key.Agent{without, with}, "holds", "has it"},
		{known, []key.Agent{without, none}, "lacks", "does not have it"},
		{known, []key.Agent{none}, "none", "none is running"},
		{known, []key.Agent{gone, none}, "silent", "does not answer"},
		{unknown, []key.Agent{with}, "unknown", "has 1 identit"},
		{unknown, []key.Agent{none, without}, "unknown", "has 0 identit"},
		{unknown, []key.Agent{none}, "none", "none is running"},
	} {
		s := statusOf(t.Context(), c.agents, c.state, time.Now())
		var out strings.Builder
		s.printStatus(&out)
		if s.Agent != c.want || !strings.Contains(out.String(), c.words) {
			t.Errorf("want %s, got %s:\n%s", c.want, s.Agent, out.String())
		}
	}
}

// TestStatusInAgent: a key that has left its files for the agent is found there, by its certificate that is valid now.
func TestStatusInAgent(t *testing.T) {
	now := time.Now()
	ring := agent.NewKeyring()
	add := func(comment string, kind uint32, from, until time.Duration) {
		private, signer := sshtest.NewPair(t)
		cert := sshtest.UserCert(t, signer, signer.PublicKey(), []string{comment}, func(c *ssh.Certificate) {
			c.CertType, c.ValidAfter, c.ValidBefore = kind, uint64(now.Add(from).Unix()), uint64(now.Add(until).Unix())
		})
		if err := ring.Add(agent.AddedKey{PrivateKey: private, Certificate: cert, Comment: comment}); err != nil {
			t.Fatal(err)
		}
	}
	a := key.FindAgent(sshtest.ServeUnix(t, func(conn net.Conn) { _ = agent.ServeAgent(ring, conn) }))
	missing := key.State{Path: "cscs-key", Problem: &key.MissingError{Looked: []string{"cscs-key"}}}
	add("over", ssh.UserCert, -2*time.Hour, -time.Hour)
	add("early", ssh.UserCert, time.Hour, 2*time.Hour)
	add("host", ssh.HostCert, -time.Hour, 9*time.Hour)
	if got := heldInstead(t.Context(), []key.Agent{a}, missing, now); got.Problem == nil {
		t.Errorf("found: %+v", got)
	}
	add("short", ssh.UserCert, -time.Hour, time.Hour)
	add("long", ssh.UserCert, -time.Hour, 3*time.Hour)
	none := key.FindAgent("none")
	s := statusOf(t.Context(), []key.Agent{a}, heldInstead(t.Context(), []key.Agent{none, a}, missing, now), now)
	if !s.Usable || s.Agent != "holds" || len(s.Principals) != 1 || s.Principals[0] != "long" || s.Left == nil {
		t.Errorf("status: %+v", s)
	}
}

// agentWith is an agent that holds these keys.
func agentWith(t *testing.T, keys ...ed25519.PrivateKey) key.Agent {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	return key.FindAgent(sshtest.ServeUnix(t, func(conn net.Conn) { _ = agent.ServeAgent(ring, conn) }))
}

// TestComment: a key is named after who made it where, not after a process that has ended.
func TestComment(t *testing.T) {
	if c := whoWhere(); strings.Contains(c, "pid") || !strings.Contains(c, "@") {
		t.Errorf("got %q", c)
	}
}
