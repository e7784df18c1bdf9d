package forward

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
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

func TestFindListener(t *testing.T) {
	// As the kernel printed it on a little-endian machine, which are all that
	// we build for.
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	line := func(local, state, uid, inode string) string {
		return fmt.Sprintf("   0: %s 00000000:0000 %s 00000000:00000000 00:00000000 00000000  %s        0 %s 1 0000 100 0 0 10 0\n",
			local, state, uid, inode)
	}
	const port = 0x22B8 // 8888
	for _, tt := range []struct {
		name, table string
		inode       string
		uid         int
	}{
		{"empty", "", "", 0},
		{"no sockets", head, "", 0},
		{"loopback", head + line("0100007F:22B8", "0A", "1000", "4711"), "4711", 1000},
		{"wildcard", head + line("00000000:22B8", "0A", "1000", "4711"), "4711", 1000},
		{"loopback 6", head + line("00000000000000000000000001000000:22B8", "0A", "7", "12"), "12", 7},
		{"wildcard 6", head + line("00000000000000000000000000000000:22B8", "0A", "7", "12"), "12", 7},
		{"mapped loopback", head + line("0000000000000000FFFF00000100007F:22B8", "0A", "7", "12"), "12", 7},
		{"another port", head + line("0100007F:22B9", "0A", "1000", "4711"), "", 0},
		{"another address", head + line("0201A8C0:22B8", "0A", "1000", "4711"), "", 0},
		{"not listening", head + line("0100007F:22B8", "01", "1000", "4711"), "", 0},
		{"the second", head + line("0100007F:22B9", "0A", "1", "2") + line("0100007F:22B8", "0A", "3", "4"), "4", 3},
		{"nonsense", head + "   0: x y z\n" + line("0100007F", "0A", "1", "2") + line("01:22B8", "0A", "1", "2"), "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inode, uid, ok := findListener(strings.NewReader(tt.table), port)
			if inode != tt.inode || uid != tt.uid || ok != (tt.inode != "") {
				t.Errorf("got %q of %d (%v), want %q of %d", inode, uid, ok, tt.inode, tt.uid)
			}
		})
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
	// Root sees both. What others see is the branch below it, of which the
	// name of the user is the same.
	if want := fmt.Sprintf("(pid %d, user nobody)", pid); !strings.HasSuffix(got, want) {
		t.Errorf("Holder = %q, want it to end in %q", got, want)
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
