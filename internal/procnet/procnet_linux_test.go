package procnet

import (
	"net"
	"net/netip"
	"os"
	"testing"
)

func TestTCP(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		want := netip.MustParseAddrPort(ln.Addr().String())
		found := false
		for s := range TCP() {
			if s.State == Listen && s.Local == want && s.UID == os.Getuid() && s.Inode != "0" {
				found = true
				break
			}
		}
		if !found {
			t.Errorf("no listener on %v", want)
		}
	}
}
