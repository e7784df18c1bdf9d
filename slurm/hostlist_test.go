package slurm

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHostlist(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                             nil,
		"nid001001":                    {"nid001001"},
		"nid[001001-001003,001007],x1": {"nid001001", "nid001002", "nid001003", "nid001007", "x1"},
		"nid[1-3],x[1-2]y":             {"nid1", "nid2", "nid3", "x1y", "x2y"}, // scontrol refuses this one
		"r[1-2]n[08-10]":               {"r1n08", "r1n09", "r1n10", "r2n08", "r2n09", "r2n10"},
		"n[98-101]":                    {"n98", "n99", "n100", "n101"},
		"a.b-c,d":                      {"a.b-c", "d"},
	} {
		got, err := Hostlist(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
	for _, in := range []string{
		",", "a,", ",a", "a,,b", "n[1-3", "n1]", "n[]", "n[1-]", "n[-1]", "n[3-1]", "n[1,]", "n[a]", "n[[1]]", "n[1]]",
		"n[1-999999999]", "n[0-99999999999999999999]", "n[1-400][1-400]", "a b", "a\tb",
		"n[" + strings.Repeat("0", 300) + "1-9]", strings.Repeat("n", 200) + "[1-2]" + strings.Repeat("x", 60), strings.Repeat("n", 256),
	} {
		if got, err := Hostlist(in); err == nil {
			t.Errorf("%q: no error, but %d hosts", in, len(got))
		}
	}
}

func FuzzHostlist(f *testing.F) {
	f.Add("nid[001001-001003,001007],x1")
	f.Add("r[1-2]n[08-10]c")
	f.Add("n[1-3")
	f.Fuzz(func(t *testing.T, s string) {
		hosts, err := Hostlist(s)
		if err != nil {
			return
		}
		if len(hosts) > maxHosts {
			t.Fatalf("%q: %d hosts", s, len(hosts))
		}
		for _, h := range hosts {
			if h == "" || len(h) > maxName || strings.ContainsAny(h, "[], \t\n") {
				t.Fatalf("%q: host %q", s, h)
			}
		}
		// Plain names stand for themselves.
		again, err := Hostlist(strings.Join(hosts, ","))
		if err != nil {
			t.Fatalf("%q: expanded again: %v", s, err)
		}
		if diff := cmp.Diff(hosts, again); diff != "" {
			t.Fatalf("%q: expanded again:\n%s", s, diff)
		}
	})
}
