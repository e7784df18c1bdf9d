package owndir

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alps-tunnel/cscs/internal/strangertest"
)

// TestACL: no user of an access control list can swap a directory of the user's, nor one above it,
// though the group of that is the user's own.
func TestACL(t *testing.T) {
	for name, c := range map[string]struct {
		change func(top, mid string) error
		refuse bool
	}{
		"the parent":               {func(_, mid string) error { return strangertest.Allow(mid, 7, 7) }, true},
		"the parent of the parent": {func(top, _ string) error { return strangertest.Allow(top, 7, 7) }, true},
		"masked":                   {func(top, _ string) error { return strangertest.Allow(top, 7, 5) }, false},
		"taken away again": {func(top, _ string) error {
			return errors.Join(strangertest.Allow(top, 7, 7), unix.Removexattr(top, "system.posix_acl_access"))
		}, false},
		"a place like /tmp": {func(top, _ string) error {
			return errors.Join(strangertest.Allow(top, 7, 7), os.Chmod(top, 0o770|os.ModeSticky))
		}, false},
	} {
		t.Run(name, func(t *testing.T) { checkBelow(t, c.change, c.refuse) })
	}
}
