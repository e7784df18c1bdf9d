package connect

import (
	"testing"

	"github.com/alps-tunnel/cscs/internal/site"
)

// TestControlSocket: an ssh that is logged in as another user, or that accepts any host key, is not
// used.
func TestControlSocket(t *testing.T) {
	for _, tt := range []struct {
		strict, user, want string
	}{
		{"ask", "alice", "/m"},
		{"yes", "alice", "/m"},
		{"accept-new", "alice", "/m"},
		{"no", "alice", ""},
		{"off", "alice", ""},
		{"ask", "bob", ""},
	} {
		h := site.Host{ControlPath: "/m", ControlUser: "alice", StrictHostKeyChecking: tt.strict}
		if got := controlSocket(h, tt.user); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
