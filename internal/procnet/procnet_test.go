package procnet

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// As the kernel printed it on a little-endian machine, which are all that we
// build for.
func TestRead(t *testing.T) {
	const table = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:C350 0100007F:22B8 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0000000000000000 20 4 30 10 -1
   2: 00000000000000000000000001000000:22B8 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 13 1 0
   3: 0000000000000000FFFF00000100007F:22B8 0000000000000000FFFF00000100007F:C350 06 00000000:00000000 00:00000000 00000000     0        0 0 1 0
   4: B80D0120000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 14 1 0
   5: 0100007F 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711
   6: 0100007F:22B8 01:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711
   7: 0100007F:22B8 00000000:0000 XX 00000000:00000000 00:00000000 00000000  1000        0 4711
   8: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  root        0 4711
   9: 0100007F:22B8 00000000:0000 0A
`
	ap := netip.MustParseAddrPort
	want := []Socket{
		{ap("127.0.0.1:8888"), ap("0.0.0.0:0"), Listen, 1000, "4711"},
		{ap("127.0.0.1:50000"), ap("127.0.0.1:8888"), Established, 0, "12"},
		{ap("[::1]:8888"), ap("[::]:0"), Listen, 7, "13"},
		{ap("127.0.0.1:8888"), ap("127.0.0.1:50000"), 6, 0, "0"},
		{ap("[2001:db8::1]:22"), ap("[::]:0"), Listen, 0, "14"},
	}
	got := slices.Collect(Read(strings.NewReader(table)))
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Error(diff)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("   0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n")
	f.Add("   1: 0000000000000000FFFF00000100007F:22B8 0000000000000000FFFF00000100007F:C350 06 0:0 0:0 0 -1 0 x 1\n")
	f.Add("   1: 0000000000000000FFFF00000100007F:22B8 0000000000000000FFFF00000100007F:C350 06 0:0 0:0 0 7 0 x 1\n")
	f.Add("   2: 00000000000000000000000001000000:0 0100007F:FFFF 0A 0:0 0:0 0 +7 0 4711 1\n0: : : : : : : : : :\n")
	f.Fuzz(func(t *testing.T, table string) {
		sockets := slices.Collect(Read(strings.NewReader(table)))
		if lines := strings.Count(table, "\n") + 1; len(sockets) > lines {
			t.Errorf("%d sockets in %d lines", len(sockets), lines)
		}
		for _, s := range sockets {
			if !s.Local.IsValid() || !s.Remote.IsValid() || s.Local.Addr().Is4In6() || s.UID < 0 || s.Inode == "" || strings.ContainsAny(s.Inode, " \n") {
				t.Errorf("%q has the socket %+v", table, s)
			}
		}
	})
}
