//go:build unix

package signing

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// TestImportFIFO: nobody waits for who writes it, whether it is named or lies about.
func TestImportFIFO(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "a-key")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	var special *regular.Error
	if _, err := Find(fifo, ""); !errors.As(err, &special) {
		t.Errorf("%v", err)
	}
	var nothing *NothingError
	if _, err := Find(dir, ""); !errors.As(err, &nothing) {
		t.Errorf("%v", err)
	}
	for _, p := range []Pair{{Key: fifo}, {Key: "/dev/null", Cert: fifo}} {
		if _, err := Import(t.Context(), request(t, nil), p); !errors.As(err, &special) {
			t.Errorf("%v", err)
		}
	}
}
