package forward

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestListenIsLoopbackOnly(t *testing.T) {
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if len(l.ls) != 2 {
		t.Fatalf("%d listeners; this test needs a machine with ::1", len(l.ls))
	}
	for i, want := range []string{"127.0.0.1", "::1"} {
		if got := l.ls[i].Addr().String(); got != joinHostPort(want, l.Port()) {
			t.Errorf("listener %d is on %s, want %s", i, got, joinHostPort(want, l.Port()))
		}
	}
}

// Whoever has any address that catches 127.0.0.1, ::1 or localhost has the
// port.
func TestListenBusy(t *testing.T) {
	for _, tt := range []struct{ network, addr string }{
		{"tcp4", "127.0.0.1:0"},
		{"tcp6", "[::1]:0"},
		{"tcp4", "0.0.0.0:0"},
		{"tcp6", "[::]:0"},
		{"tcp", "[::]:0"},
	} {
		t.Run(tt.network+" "+tt.addr, func(t *testing.T) {
			other, err := net.Listen(tt.network, tt.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			port := other.Addr().(*net.TCPAddr).Port

			l, err := Listen(port)
			var busy *PortBusyError
			if !errors.As(err, &busy) {
				if err == nil {
					l.Close()
				}
				t.Fatalf("Listen: %v, want a PortBusyError", err)
			}
			if busy.Port != port || !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("Listen: %#v", busy)
			}
			if want := "pid " + strconv.Itoa(os.Getpid()); !strings.Contains(busy.Holder, want) {
				t.Errorf("holder %q does not name %s", busy.Holder, want)
			}

			l, err = ListenFrom(port)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if l.Port() <= port {
				t.Errorf("ListenFrom(%d) listens on %d", port, l.Port())
			}
		})
	}
}

// Nobody else can have the port while we have it, whatever they ask for.
func TestListenExcludes(t *testing.T) {
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, host := range []string{"127.0.0.1", "::1", "0.0.0.0", "::"} {
		other, err := net.Listen("tcp", joinHostPort(host, l.Port()))
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listen on %s beside us: %v", host, err)
		}
		if err == nil {
			other.Close()
		}
	}
}

func TestCloseGivesPortBack(t *testing.T) {
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Listen(l.Port())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestListenNoSuchPort(t *testing.T) {
	for _, port := range []int{-1, 65536, 70000} {
		if _, err := Listen(port); err == nil {
			t.Errorf("Listen(%d) listens", port)
		}
		if _, err := ListenFrom(port); err == nil {
			t.Errorf("ListenFrom(%d) listens", port)
		}
	}
}

const (
	childPortEnv = "CSCS_TEST_HOLD_PORT"
	childLookEnv = "CSCS_TEST_LOOK_AT_PORT" // prints who holds that port
)

// holdPort is the child of TestHolderIsAnotherProcess.
func holdPort(addr string) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(ln.Addr().String() + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}
