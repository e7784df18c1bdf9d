//go:build unix

package key

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestHalf: a key whose private half is nowhere is told as such, wherever it is met, with what is
// to be taken away; other keys than CSCS's and the named one are passed over.
func TestHalf(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(h *home)
		link  string
		rm    []string
	}{
		"public half":           {func(h *home) { h.key("cscs-key"); _ = os.Remove(h.path("cscs-key")) }, "", []string{"cscs-key.pub"}},
		"with its certificate":  {func(h *home) { h.cert("cscs-key", h.key("cscs-key")); _ = os.Remove(h.path("cscs-key")) }, "", []string{"cscs-key.pub", "cscs-key-cert.pub"}},
		"with one that is over": {func(h *home) { h.cert("cscs-key", h.key("cscs-key"), expired); _ = os.Remove(h.path("cscs-key")) }, "", []string{"cscs-key.pub", "cscs-key-cert.pub"}},
		"certificate alone": {func(h *home) {
			h.cert("cscs-key", h.key("cscs-key"))
			_ = os.Remove(h.path("cscs-key"))
			_ = os.Remove(h.path("cscs-key.pub"))
		}, "", []string{"cscs-key-cert.pub"}},
		"link to nothing": {func(h *home) {
			h.cert("cscs-key", h.key("cscs-key"))
			_ = os.Remove(h.path("cscs-key"))
			_ = os.Symlink("/media/usb/key", h.path("cscs-key"))
		}, "/media/usb/key", []string{"cscs-key", "cscs-key.pub", "cscs-key-cert.pub"}},
		"nothing but that link": {func(h *home) { _ = os.Symlink("/media/usb/key", h.path("cscs-key")) }, "/media/usb/key", []string{"cscs-key"}},
	} {
		h := newHome(t)
		c.setup(h)
		fix := "rm"
		for _, name := range c.rm {
			fix += " " + h.path(name)
		}
		fix += " && " + SignCommand
		empty, _ := newAgent(t)
		// Without an agent to ask, one may have the private half: no public half is removed then.
		for agent, fix := range map[string]string{empty: fix, "none": map[bool]string{true: fix}[name == "nothing but that link"]} {
			from := h.source()
			from.IdentityAgent = agent
			_, any := Load(t.Context(), from, nil)
			from.Identity = h.path("cscs-key")
			_, named := Load(t.Context(), from, nil)
			held := HeldBy(t.Context(), func(context.Context) []Agent { return []Agent{FindAgent("none"), FindAgent(agent)} })
			all := []error{Inspect(h.path("cscs-key"), time.Now(), held).Problem, any, named}
			if agent == "none" {
				all = append(all, Inspect(h.path("cscs-key"), time.Now(), nil).Problem)
			}
			for _, err := range all {
				var e *HalfError
				if !errors.As(err, &e) || e.Link != c.link || e.Fix != fix {
					t.Errorf("%s: %v, want the fix %q", name, err, fix)
				}
			}
		}
	}
	h := newHome(t)
	h.key("id_ed25519")
	_ = os.Remove(h.path("id_ed25519"))
	if _, err := Load(t.Context(), h.source(), nil); !is[*MissingError](err) {
		t.Errorf("a key that nobody named: %v", err)
	}
}

// TestHolder: an agent's key is whole; one that does not answer is not taken for one that holds
// nothing.
func TestHolder(t *testing.T) {
	h := newHome(t)
	h.cert("k", h.key("k"))
	_ = os.Remove(h.path("k"))
	for _, c := range []struct {
		held Holder
		want func(error) bool
	}{
		{func(ssh.PublicKey) (bool, error) { return true, nil }, func(err error) bool { return err == nil }},
		{func(ssh.PublicKey) (bool, error) { return false, &AgentError{Err: ErrAgentHangs} }, is[*AgentError]},
		{HeldBy(t.Context(), func(context.Context) []Agent { return []Agent{FindAgent("none")} }), is[*HalfError]},
		{HeldBy(t.Context(), func(context.Context) []Agent { return []Agent{FindAgent(h.path("no-socket"))} }), is[*AgentError]},
	} {
		if err := Inspect(h.path("k"), time.Now(), c.held).Problem; !c.want(err) {
			t.Errorf("%v", err)
		}
	}
}
