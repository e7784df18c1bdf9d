package regular

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReplaceOwner: a file whose owner cannot be kept is left as it is, and no other file is left.
func TestReplaceOwner(t *testing.T) {
	const nobody = 65534
	dir, err := os.MkdirTemp("", "p") //nolint:usetesting // another user must reach it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "config")
	if err := errors.Join(os.WriteFile(file, []byte("first"), 0o644), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err) // root, as scripts/test runs
	}
	done := make(chan error)
	go func() { // its thread works as the other user, and ends with it
		runtime.LockOSThread()
		if err := errors.Join(unix.Setfsgid(nobody), unix.Setfsuid(nobody)); err != nil {
			t.Error(err)
		}
		done <- Replace(file, []byte("second"), 0o644, func() error { return nil })
	}()
	if err := <-done; !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "first" {
		t.Errorf("%q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v", entries, err)
	}
}
