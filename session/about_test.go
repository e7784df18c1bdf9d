package session

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOtherVersions: the description of a session by another version of cscs is read as far as it is known
// (docs/compatibility.md).
func TestOtherVersions(t *testing.T) {
	got := ParseAbout(`{"v":2,"id":"abcdefgh","app":"jupyter","lease":60,"colour":"red","nested":{"a":[1]}}`)
	if d := cmp.Diff(About{V: 2, ID: "abcdefgh", App: "jupyter", Lease: 60}, got); d != "" {
		t.Error(d)
	}
}
