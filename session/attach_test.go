package session

import (
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/slurm"
)

// TestPickSession: a prefix that several sessions share is not reported as unknown.
func TestPickSession(t *testing.T) {
	found := []slurm.Found{{ID: "k7aaaaaa"}, {ID: "k7bbbbbb"}, {ID: "m2cccccc"}, {ID: "m3dddddd", Over: true}}
	for prefix, want := range map[string]string{
		"k7a": "k7aaaaaa",
		"m2":  "m2cccccc",
		"k7":  "more than one live session k7… on daint",
		"":    "more than one live session on daint",
		"x":   "no live session x on daint",
		"m3":  "m3dddddd",
	} {
		f, err := pickSession(found, prefix, "daint")
		got := f.ID
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", prefix, got, want)
		}
	}
}
