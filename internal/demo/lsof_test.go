package demo

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParseLsof: each socket belongs to the process above it, and what is no address is left out. The verdict on
// a port depends on it. The form is that of lsof 4.91, of macOS.
func TestParseLsof(t *testing.T) {
	const out = `p411
u501
Lalice
f7
n127.0.0.1:8888
f8
n[::1]:8888
p512
u0
Lroot
f4
n*:22
f5
n*:*
p613
u501
Lalice
f3
n*:6006
`
	address := netip.MustParseAddrPort
	want := []listener{
		{addr: address("127.0.0.1:8888"), mine: true, owner: "alice", id: "411"},
		{addr: address("[::1]:8888"), mine: true, owner: "alice", id: "411"},
		{addr: address("0.0.0.0:22"), owner: "root", id: "512"},
		{addr: address("0.0.0.0:6006"), mine: true, owner: "alice", id: "613"},
	}
	got := parseLsof(out, 501)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(listener{}), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	var kinds []string
	for _, port := range []int{8888, 22, 6006, 80} {
		kinds = append(kinds, classifyPort(got, port).kind)
	}
	if fmt.Sprint(kinds) != "[ours foreign wide none]" {
		t.Errorf("the verdicts are %v", kinds)
	}
	if none := parseLsof("", 501); none != nil {
		t.Errorf("of nothing: %v", none)
	}
}
