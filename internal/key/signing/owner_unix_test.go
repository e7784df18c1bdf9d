//go:build unix

package signing

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/owndir"
)

// TestOtherOwner: root writes nothing in a home directory of another user, neither beside the key
// nor in the state directory.
func TestOtherOwner(t *testing.T) {
	const other = 65534
	for name, state := range map[string]bool{"the key's directory": false, "the state directory": true} {
		a := newAuthority(t)
		r := request(t, a)
		if _, err := Sign(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		pair := savePair(t, a, t.TempDir())
		home := filepath.Dir(filepath.Dir(r.Path))
		where := home
		if state {
			where = r.State
		}
		err := filepath.WalkDir(where, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, other, other)) // as root, as scripts/test runs
		})
		if err != nil {
			t.Fatal(err)
		}
		before, stateBefore := tree(t, home), tree(t, r.State)
		a.asked = 0
		r.Ask = &typist{"new"}
		_, signed := Sign(t.Context(), r)
		_, imported := Import(t.Context(), r, pair)
		_, changed := Rekey(t.Context(), r)
		for _, err := range []error{signed, imported, changed} {
			if !errors.As(err, new(*owndir.OwnerError)) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if a.asked != 0 {
			t.Errorf("%s: the service was asked", name)
		}
		if d := cmp.Diff(before, tree(t, home)) + cmp.Diff(stateBefore, tree(t, r.State)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
