package sshconfig

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/strangertest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// TestForeignTemporary: ssh reads no configuration that another user could put in the place of
// ours meanwhile.
func TestForeignTemporary(t *testing.T) {
	for name, change := range map[string]func(dir string) error{
		"for all to write": func(dir string) error { return os.Chmod(dir, 0o777) },
		"another user's":   func(dir string) error { return os.Chown(dir, strangertest.UID, strangertest.UID) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TMPDIR", dir)
			if file, err := writeTempFile([]byte("Host x\n")); !errors.Is(err, owndir.ErrShared) {
				t.Errorf("%s, %v", file, err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// TestForeignKnownHosts: host keys are not written where another user could replace them.
func TestForeignKnownHosts(t *testing.T) {
	for name, orders := range map[string][]string{
		"a directory": {"mkdir DIR"},
		"with a FIFO": {"mkdir DIR", "fifo DIR/known_hosts.lock"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(strangertest.PublicDir(t), "state")
			for _, order := range orders {
				strangertest.Plant(t, strings.ReplaceAll(order, "DIR", dir))
			}
			done := make(chan error, 1)
			go func() {
				done <- Known(filepath.Join(dir, "known_hosts")).Put(t.Context(), "cscs-abcd2345", "nid1", nil, time.Now(), func(string) bool { return true })
			}()
			if err := waittest.Receive(t, 30*time.Second, "an end that waits for no other user", done); !errors.Is(err, owndir.ErrShared) {
				t.Error(err)
			}
			if _, err := os.Lstat(filepath.Join(dir, "known_hosts")); !os.IsNotExist(err) {
				t.Errorf("written: %v", err)
			}
		})
	}
}
