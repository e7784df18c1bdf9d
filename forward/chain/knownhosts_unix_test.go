//go:build unix

package chain

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// TestKnownHostsPipe: nobody waits for what a pipe in the place of the file may say, or for one
// who reads it.
func TestKnownHostsPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "known_hosts")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := OpenKnownHosts([]string{pipe}, func(context.Context, Question) (bool, error) { return true, nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Check(t.Context(), "ela", nil, sshtest.NewKey(t).PublicKey()); err != nil {
		t.Error(err)
	}
	if w := k.Warnings(); len(w) != 2 {
		t.Errorf("that it is none, and that nothing was remembered: %v", w)
	}
	// The null device is as good as nothing.
	null := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.Symlink(os.DevNull, null); err != nil {
		t.Fatal(err)
	}
	if k, err = OpenKnownHosts([]string{null}, nil); err != nil || len(k.Warnings()) > 0 {
		t.Errorf("%v, %v", err, k.Warnings())
	}
}
