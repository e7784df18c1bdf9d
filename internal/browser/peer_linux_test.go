package browser

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// The kernel's own word on who asks, which no test double can give.
func TestAnotherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test must run as root, as scripts/test does: it needs a process of another user")
	}
	const nobody = 65534
	o := serveOffer(t, peerUID)
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
	if got, want := o.refusal(), "a process of user nobody"; got != want {
		t.Errorf("refused %q, want %q", got, want)
	}
	if a := ask(0); a.Location != link {
		t.Errorf("this user got %+v", a)
	}
}

// The socket of an IPv6 family that speaks IPv4 is in another table.
func TestPeerUID(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		to := netip.MustParseAddrPort(ln.Addr().String())
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		from := netip.MustParseAddrPort(c.LocalAddr().String())
		if uid, err := peerUID(from, to); err != nil || uid != os.Getuid() {
			t.Errorf("%v: user %d, %v", from, uid, err)
		}
		c.Close()
		// Closed by its process, the socket may be in the table still.
		if uid, err := peerUID(from, to); err == nil {
			t.Errorf("%v when closed: user %d", from, uid)
		}
	}
}
