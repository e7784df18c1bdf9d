package forward

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// withoutIPv6 runs the test again, alone, in a network of its own whose loopback interface has no IPv6
// (MisterTea/EternalTerminal#660); it reports whether this is that run.
func withoutIPv6(t *testing.T) bool {
	t.Helper()
	const mark = "CSCS_TEST_WITHOUT_IPV6"
	if os.Getenv(mark) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
		cmd.Env = append(os.Environ(), mark+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return false
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Fatal(err)
	}
	return true
}

// TestBindWithoutIPv6: where there is no ::1, a port of 127.0.0.1 is enough.
func TestBindWithoutIPv6(t *testing.T) {
	if !withoutIPv6(t) {
		return
	}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		t.Fatalf("there is IPv6: %v", l.Addr())
	}
	for _, port := range []int{0, 8888} {
		ls, err := bindLoopback(t.Context(), port)
		if err != nil || len(ls) != 1 || !ls[0].Addr().(*net.TCPAddr).IP.Equal(net.IPv4(127, 0, 0, 1)) {
			t.Fatalf("port %d: %v, %v", port, ls, err)
		}
		defer ls[0].Close()
		if _, err := bindLoopback(t.Context(), ls[0].Addr().(*net.TCPAddr).Port); !errors.As(err, new(*PortBusyError)) {
			t.Errorf("the same port again: %v", err)
		}
	}
}
