//go:build unix

package key

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFIFO: what would have to be waited for is refused at once, whichever of a key's files it is.
func TestFIFO(t *testing.T) {
	for _, name := range []string{"cscs-key", "cscs-key.pub", "cscs-key-cert.pub"} {
		h := newHome(t)
		h.cert("cscs-key", h.key("cscs-key"))
		if err := syscall.Unlink(h.path(name)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(h.path(name), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(t.Context(), h.source(), nil)
		for _, err := range []error{err, Inspect(h.path("cscs-key"), time.Now(), nil).Problem} {
			var e *FileError
			if !errors.As(err, &e) || !strings.Contains(e.What, "a FIFO") || e.Fix != "ls -l "+h.path(name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
