//go:build linux

package labctl

import (
	"net"
	"net/netip"
	"os"
	"testing"
)

// TestListeners: sock_diag and the tables in /proc both name the sockets that listen, by address, port and
// user, and no socket that is connected.
func TestListeners(t *testing.T) {
	want := map[netip.AddrPort]bool{}
	var conns []netip.AddrPort
	for _, address := range []string{"127.0.0.1:0", "127.0.0.2:0", "[::1]:0", "0.0.0.0:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		want[l.Addr().(*net.TCPAddr).AddrPort()] = true
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		conns = append(conns, c.LocalAddr().(*net.TCPAddr).AddrPort())
	}
	for name, ask := range map[string]func() ([]Listener, error){
		"sock_diag": threadListeners,
		"/proc":     func() ([]Listener, error) { return readTables("/proc/thread-self/net") },
	} {
		t.Run(name, func(t *testing.T) {
			found, err := ask()
			if err != nil {
				t.Fatal(err)
			}
			seen := map[netip.AddrPort]bool{}
			for _, l := range found {
				if want[l.Addr] && l.UID != os.Getuid() {
					t.Errorf("%s belongs to user %d", l.Addr, l.UID)
				}
				seen[l.Addr] = true
			}
			for addr := range want {
				if !seen[addr] {
					t.Errorf("%s is missing", addr)
				}
			}
			for _, addr := range conns {
				if seen[addr] {
					t.Errorf("%s does not listen", addr)
				}
			}
		})
	}
}

// TestListenersTruncated: an answer that is cut short is an error, not a shorter list.
func TestListenersTruncated(t *testing.T) {
	message := make([]byte, 16+diagMessageSize)
	message[0], message[4] = byte(len(message)), sockDiagByFamily
	if found, _, err := readListeners(message); err != nil || len(found) != 1 {
		t.Errorf("the whole message: %v, %v", found, err)
	}
	if found, _, err := readListeners(message[:len(message)-1]); err == nil {
		t.Errorf("a message without its end: %v", found)
	}
}
