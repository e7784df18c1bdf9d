package key

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestInspect: what there is of a key, and what is wrong with it.
func TestInspect(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup func(h *home)
		check func(s State) bool
	}{
		{"nothing", func(*home) {}, func(s State) bool { return !s.Exists && is[*MissingError](s.Problem) }},
		{"good", func(h *home) { h.cert("k", h.key("k")) }, func(s State) bool {
			return s.Exists && !s.Encrypted && s.Problem == nil && s.Cert != nil && s.Comment == "alice@laptop" && !s.ValidBefore.IsZero()
		}},
		{"encrypted", func(h *home) { h.cert("k", h.encrypted("k")) }, func(s State) bool { return s.Encrypted && s.Problem == nil }},
		{"bare", func(h *home) { h.key("k") }, func(s State) bool { return s.Cert == nil && is[*UncertifiedError](s.Problem) }},
		{"expired", func(h *home) { h.cert("k", h.key("k"), expired) }, func(s State) bool { return s.Cert != nil && is[*ExpiredError](s.Problem) }},
		{"to come", func(h *home) { h.cert("k", h.key("k"), future) }, func(s State) bool { return is[*NotYetValidError](s.Problem) }},
		{"for nobody", func(h *home) { h.cert("k", h.key("k"), func(c *ssh.Certificate) { c.ValidPrincipals = nil }) }, unfit(NoPrincipals)},
		{"made with -O clear", func(h *home) { h.cert("k", h.key("k"), func(c *ssh.Certificate) { c.Extensions = nil }) }, unfit(NoForwarding)},
		{"for one command", func(h *home) {
			h.cert("k", h.key("k"), func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "date"} })
		}, unfit(ForcedCommand)},
		{"from one address", func(h *home) {
			h.cert("k", h.key("k"), func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "192.0.2.0/24"} })
		}, func(s State) bool { return s.Problem == nil }},
		{"another's certificate", func(h *home) {
			h.key("k")
			h.cert("k", h.key("other"))
		}, func(s State) bool { return s.Exists && s.Public != nil && s.Cert == nil && is[*FileError](s.Problem) }},
		{"the certificate is rubbish", func(h *home) {
			h.key("k")
			h.write("k-cert.pub", []byte("rubbish"), 0o644)
		}, func(s State) bool { return s.Exists && s.Public != nil && is[*FileError](s.Problem) }},
		{"the key is empty", func(h *home) { h.write("k", nil, 0o600) }, func(s State) bool { return is[*FileError](s.Problem) }},
		{"the private half is nowhere", func(h *home) {
			h.cert("k", h.key("k"))
			_ = os.Remove(h.path("k"))
		}, func(s State) bool { return !s.Exists && s.Public != nil && is[*HalfError](s.Problem) }},
	} {
		h := newHome(t)
		c.setup(h)
		if s := Inspect(h.path("k"), time.Now(), nil); !c.check(s) {
			t.Errorf("%s: %+v (%v)", c.name, s, s.Problem)
		}
	}
}

func unfit(why Unfitness) func(State) bool {
	return func(s State) bool {
		var e *UnfitError
		return errors.As(s.Problem, &e) && e.Why == why && s.Cert != nil
	}
}

// TestUnreadable: the command that makes it readable is told, of the directory if that is it.
func TestUnreadable(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has no such command
	}
	dir := t.TempDir()
	there := filepath.Join(dir, "a key")
	if err := os.WriteFile(there, nil, 0o000); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		there:                               "chmod u+rw '" + there + "'",
		filepath.Join(dir, "hidden", "key"): "chmod u+rwx " + filepath.Join(dir, "hidden"),
	} {
		// As os says it; root may read all.
		e := newUnreadableError(path, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES})
		if e.Fix != want || e.Error() != "read key "+path+": it cannot be read: permission denied" {
			t.Errorf("%v, fix %q", e, e.Fix)
		}
	}
}
