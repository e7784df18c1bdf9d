package sshconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/hostiletest"
)

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJrdhFTvP8nTQ2yVqxwWyXcNzXGSVbJC+OLbvYzTzjfV"

// TestKnownNames: a line of known_hosts is written under the name of a session only, and has
// five words, whatever the cluster calls the node and its keys.
func TestKnownNames(t *testing.T) {
	k := Known(filepath.Join(t.TempDir(), "known_hosts"))
	put := func(host, node string, keys ...string) error {
		return k.Put(t.Context(), host, node, keys, time.Now(), func(string) bool { return true })
	}
	for _, id := range append([]string{"*", "k7,evil.example", "k7 evil"}, hostiletest.IDs...) {
		if id == "abcdefg" {
			continue // the beginning of one
		}
		if err := put(Prefix+id, "nid1", hostKey); err == nil {
			t.Errorf("%q is written", id)
		}
		if err := put(id, "nid1", hostKey); err == nil {
			t.Errorf("%q is written", id)
		}
	}
	for _, word := range hostiletest.Words {
		if err := put(Prefix+"abcdefgh", word, hostKey, hostKey+" "+word, word+" "+hostKey, word); err != nil {
			t.Errorf("%q: %v", word, err)
		}
		b, err := os.ReadFile(string(k))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) != 5 || f[0] != Prefix+"abcdefgh" || f[1]+" "+f[2] != hostKey || strings.ContainsAny(line, "\x00\x1b") {
				t.Errorf("%q: the line %q", word, line)
			}
		}
	}
}
