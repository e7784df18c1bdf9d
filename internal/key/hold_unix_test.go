//go:build unix

package key

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// later is a certificate that ends so many hours later than others of the tests.
func later(hours uint64) func(*ssh.Certificate) {
	return func(c *ssh.Certificate) { c.Serial, c.ValidBefore = hours, c.ValidBefore+hours*3600 }
}

// TestHold: what has expired goes, and no plain key with it; what is added takes the place of
// what it renews, and not of another authority's.
func TestHold(t *testing.T) {
	h := newHome(t)
	old, both, other := h.key("old"), h.key("both"), h.key("other")
	oldCert := h.cert("old", old, expired)
	bothOld := h.cert("both", both, expired)
	bothNew := h.cert("both", both, func(c *ssh.Certificate) { c.Serial = 7 })
	socket, ring := newAgent(t,
		agent.AddedKey{PrivateKey: old}, agent.AddedKey{PrivateKey: old, Certificate: oldCert, Comment: "the old one"},
		agent.AddedKey{PrivateKey: both}, agent.AddedKey{PrivateKey: both, Certificate: bothOld, Comment: "one of two"}, agent.AddedKey{PrivateKey: both, Certificate: bothNew},
		agent.AddedKey{PrivateKey: other})
	holds := func(want int) {
		t.Helper()
		if all, err := ring.List(); err != nil || len(all) != want {
			t.Errorf("it holds %d: %v %v", len(all), all, err)
		}
	}
	a := FindAgent(socket)
	for _, cert := range []*ssh.Certificate{oldCert, bothNew} {
		if removed, err := a.RemoveExpired(t.Context(), cert, time.Now()); err != nil || len(removed) != 1 {
			t.Errorf("removed %q, %v", removed, err)
		}
	}
	holds(4)
	for name, want := range map[string]bool{"old": true, "both": true, "other": true} {
		s := Inspect(h.path(name), time.Now(), nil)
		if got, err := a.Holds(t.Context(), s.Public); got != want || err != nil {
			t.Errorf("holds %s: %v %v", name, got, err)
		}
	}
	newer := h.cert("both", both, later(8))
	if _, err := a.Add(t.Context(), both, newer, "both", time.Now()); err != nil {
		t.Error(err)
	}
	holds(4) // the key, its new certificate, and the others
	for cert, want := range map[*ssh.Certificate]Addition{newer: {Held: true}, h.cert("both", both, func(c *ssh.Certificate) { c.Serial, c.ValidBefore = 9, newer.ValidBefore }): {Beside: true}} {
		if added, err := a.Add(t.Context(), both, cert, "both", time.Now()); added != want || err != nil {
			t.Errorf("%+v, %v; want %+v", added, err, want)
		}
	}
	holds(5)
	elsewhere := newHome(t).cert("both", both)
	if err := ring.Add(agent.AddedKey{PrivateKey: both, Certificate: elsewhere}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Add(t.Context(), both, h.cert("both", both, later(9)), "both", time.Now()); err != nil {
		t.Error(err)
	}
	holds(5)
	var over *ExpiredError
	if _, err := a.Add(t.Context(), old, oldCert, "old", time.Now()); !errors.As(err, &over) {
		t.Errorf("an expired one: %v", err)
	}
	// A locked agent seems to be empty, and takes nothing.
	if err := ring.Lock([]byte("x")); err != nil {
		t.Fatal(err)
	}
	var refused *AgentRefusedError
	if _, err := a.Add(t.Context(), both, newer, "both", time.Now()); !errors.As(err, &refused) {
		t.Errorf("a locked one: %v", err)
	}
	var none *NoAgentError
	if _, err := FindAgent("none").Holds(t.Context(), signerOf(t, old).PublicKey()); !errors.As(err, &none) {
		t.Errorf("none: %v", err)
	}
}
