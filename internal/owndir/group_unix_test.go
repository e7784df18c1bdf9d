//go:build unix

package owndir

import (
	"os/user"
	"strings"
	"testing"
)

// TestPrivateGroup: the group of the user's name is the user's own, if it has no other member.
func TestPrivateGroup(t *testing.T) {
	for table, want := range map[string]bool{
		"root:x:0:\nalice:x:1000:\n":      true,
		"alice:x:1000:alice\n":            true,
		"alice:x:1000:alice,bob\n":        false,
		"alice:x:1000:bob\n":              false,
		"users:x:1000:\n":                 false, // the primary group of all
		"root:x:0:\n":                     true,  // of a directory service
		"bob:x:1000:\nalice:x:1000:\n":    false,
		"users:x:100:alice\nalice:x:10::": true, // neither has the number
	} {
		if got := hasAlone(strings.NewReader(table), &user.User{Uid: "1000", Gid: "1000", Username: "alice"}); got != want {
			t.Errorf("%q: %v", table, got)
		}
	}
	if hasAlone(strings.NewReader("root:x:0:\n"), &user.User{Uid: "1000", Gid: "100", Username: "alice"}) {
		t.Error("a group of a directory service that has another number")
	}
}
