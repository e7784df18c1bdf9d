package sshconfig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const edKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJm9Wb5J9oHhLzRk2bq8o8m1c8W6oKf3mE3yYx2x3m5X"

func TestKnown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "known_hosts")
	k := Known(file)
	now := time.Now()
	for _, p := range []struct {
		host string
		at   time.Time
	}{{"cscs-old", now.Add(-2 * liveRetention)}, {"cscs-k7", now.Add(-time.Hour)}, {"cscs-k7", now}, {"cscs-lives", now.Add(-time.Hour)}, {"cscs-over", now.Add(-time.Hour)}, {"cscs-fresh", now}, {"cscs-b2", now}} {
		lives := func(host string) bool { return host != "cscs-over" && host != "cscs-fresh" }
		if err := k.Put(t.Context(), p.host, "nid001001", []string{edKey, "ssh-unknown AAAA"}, p.at, lives); err != nil {
			t.Fatal(err)
		}
	}
	// ssh-keygen reads it as ssh does.
	for host, want := range map[string]int{"cscs-k7": 1, "cscs-b2": 1, "cscs-lives": 1, "cscs-over": 0, "cscs-fresh": 1, "cscs-old": 0, "cscs-k": 0} {
		out, _ := exec.CommandContext(t.Context(), "ssh-keygen", "-F", host, "-f", file).Output()
		if got := strings.Count(string(out), "ssh-ed25519"); got != want {
			t.Errorf("%s: %d keys, want %d\n%s", host, got, want, out)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, host := range []string{"", "cscs-", "cscs-*", "cscs-a,ela.cscs.ch", "cscs-a\nela.cscs.ch", "ela.cscs.ch"} {
		if err := k.Put(t.Context(), host, "n", []string{edKey}, now, nil); err == nil {
			t.Errorf("%q became a host", host)
		}
	}
}

// Connections that begin at once do not lose each other's keys.
func TestKnownAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := Known(file).Put(t.Context(), fmt.Sprintf("cscs-k%c", 'a'+i), "n", []string{edKey}, time.Now(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := strings.Count(read(t, file), "\n"); n != 20 {
		t.Errorf("%d of 20 are there", n)
	}
}

// FuzzKnown: whatever the file has become, what is written is well formed and vouches for
// no host but sessions'.
func FuzzKnown(f *testing.F) {
	f.Add("cscs-a "+edKey+" n 2026-01-01T00:00:00Z\n", "nid001001", edKey)
	f.Add("ela.cscs.ch ssh-rsa x\n@cert-authority * y\n\x00", "n n\n", "no key")
	f.Fuzz(func(t *testing.T, before, node, key string) {
		now := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)
		lives := func(host string) bool { return host != "cscs-a" }
		after := updateEntries(before, "cscs-k7", node, []string{key, edKey}, now, lives)
		if !strings.Contains("\n"+after, "\ncscs-k7 "+edKey+" ") {
			t.Errorf("the key is not there: %q", after)
		}
		for line := range strings.Lines(after) {
			if w := strings.Fields(line); len(w) != 5 || !strings.HasPrefix(w[0], Prefix) || strings.ContainsAny(w[0], "*,?!@|") {
				t.Errorf("a line %q", line)
			}
		}
		if got := updateEntries(after, "cscs-k7", node, []string{key, edKey}, now, lives); strings.Count(got, "cscs-k7 ") != strings.Count(after, "cscs-k7 ") {
			t.Errorf("it grows: %q", got)
		}
	})
}
