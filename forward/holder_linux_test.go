package forward

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/procnet"
)

func TestHolderIsAnotherProcess(t *testing.T) {
	port, pid := startHolder(t, nil)
	_, err := Listen(port)
	var busy *PortBusyError
	if !errors.As(err, &busy) {
		t.Fatalf("Listen: %v, want a PortBusyError", err)
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("local port %d is in use by %s (pid %d)", port, strings.TrimSpace(string(comm)), pid)
	if diff := cmp.Diff(want, busy.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestHolds(t *testing.T) {
	const port = 8888
	for _, tt := range []struct {
		local string
		state procnet.State
		want  bool
	}{
		{"127.0.0.1:8888", procnet.Listen, true},
		{"127.0.0.2:8888", procnet.Listen, false},
		{"[::1]:8888", procnet.Listen, true},
		{"0.0.0.0:8888", procnet.Listen, true},
		{"[::]:8888", procnet.Listen, true},
		{"127.0.0.1:8889", procnet.Listen, false},
		{"192.168.1.2:8888", procnet.Listen, false},
		{"127.0.0.1:8888", procnet.Established, false},
	} {
		s := procnet.Socket{Local: netip.MustParseAddrPort(tt.local), State: tt.state}
		if got := holdsPort(s, port); got != tt.want {
			t.Errorf("holds(%v, %d) = %v", s, port, got)
		}
	}
}

// A user who may not look into another's process is told the user at least.
func TestHolderIsAnotherUser(t *testing.T) {
	const nobody = 65534
	asNobody := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if os.Getuid() != 0 {
		t.Fatal("this test must run as root, as scripts/test does: it needs a process of another user")
	}
	port, pid := startHolder(t, asNobody)
	got := Holder(t.Context(), port)
	// Root sees both.
	if want := fmt.Sprintf("(pid %d, user nobody)", pid); !strings.HasSuffix(got, want) {
		t.Errorf("Holder = %q, want it to end in %q", got, want)
	}
	// Another user sees the user alone.
	port, _ = startHolder(t, nil)
	look := exec.Command("/proc/self/exe")
	look.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childLookEnv, port))
	look.SysProcAttr = asNobody
	if out, err := look.Output(); err != nil || string(out) != "a process of user root" {
		t.Errorf("Holder, as another user = %q, %v", out, err)
	}
	if got := userName(nobody); got != "nobody" {
		t.Errorf("userName = %q", got)
	}
	if got := userName(54321); got != "54321" {
		t.Errorf("userName of a number without a name = %q", got)
	}
}

// startHolder runs a process that listens on a port until the test ends.
func startHolder(t *testing.T, attr *syscall.SysProcAttr) (port, pid int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childPortEnv+"=127.0.0.1:0")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr, err := net.ResolveTCPAddr("tcp", strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return addr.Port, cmd.Process.Pid
}
