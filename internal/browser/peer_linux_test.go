package browser

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// The kernel's own word on who asks, which no test double can give.
func TestAnotherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test must run as root, as scripts/test does: it needs a process of another user")
	}
	const nobody = 65534
	o := serveOffer(t, peer.UID)
	ask := func(uid uint32) answer {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), fetchEnv+"="+o.url())
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, &stderr)
		}
		var a answer
		if err := json.Unmarshal(out, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask(nobody); a.Status != http.StatusNotFound || a.Location != "" {
		t.Errorf("another user got %+v", a)
	}
	if got, want := o.lastRefused(), "a process of user nobody"; got != want {
		t.Errorf("refused %q, want %q", got, want)
	}
	if a := ask(0); a.Location != target {
		t.Errorf("this user got %+v", a)
	}
}
