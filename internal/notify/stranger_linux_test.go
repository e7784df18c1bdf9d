package notify

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/strangertest"
)

// TestBusOfAnotherUser: a bus that another user runs hears nothing.
func TestBusOfAnotherUser(t *testing.T) {
	dir := filepath.Join(strangertest.PublicDir(t), "own")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	says := strangertest.Listen(t, dir, filepath.Join(dir, "bus"))
	for _, env := range [][2]string{{dir, ""}, {"", "unix:path=" + dir + "/bus"}} {
		t.Setenv("XDG_RUNTIME_DIR", env[0])
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", env[1])
		if err := showNotification(t.Context(), "title", "text"); !errors.Is(err, ErrNoDesktop) || !errors.Is(err, peer.ErrStranger) {
			t.Errorf("%q: %v", env, err)
		}
		if said := says(); said != "0 bytes" {
			t.Errorf("%q: the stranger heard %s", env, said)
		}
	}
}
