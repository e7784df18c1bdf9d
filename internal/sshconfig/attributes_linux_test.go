package sshconfig

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/alps-tunnel/cscs/internal/strangertest"
)

// TestInstallKeepsAttributes: the user's own file keeps its group, access control list and extended
// attributes, and gets no access control list of its directory.
func TestInstallKeepsAttributes(t *testing.T) {
	const group, acl, comment = 54321, "system.posix_acl_access", "user.comment"
	for name, set := range map[string]func(file string) error{
		"a group":      func(file string) error { return errors.Join(os.Chmod(file, 0o640), os.Chown(file, -1, group)) },
		"an ACL":       func(file string) error { return strangertest.Allow(file, 4, 4) },
		"an attribute": func(file string) error { return unix.Setxattr(file, comment, []byte("mine"), 0) },
		"a default ACL of the directory": func(file string) error {
			dir := filepath.Dir(file)
			if err := strangertest.Allow(dir, 7, 7); err != nil {
				return err
			}
			list := make([]byte, 1024)
			n, err := unix.Getxattr(dir, acl, list)
			return errors.Join(err, unix.Setxattr(dir, "system.posix_acl_default", list[:max(n, 0)], 0), os.Chmod(file, 0o640))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := files(t)
			write(t, f.Config, "Host x\n", 0o600)
			if err := set(f.Config); err != nil {
				t.Fatal(err)
			}
			before := attributes(t, f.Config, acl, comment)
			if _, err := f.Install(t.Context(), text(t)); err != nil {
				t.Fatal(err)
			}
			if after := attributes(t, f.Config, acl, comment); after != before {
				t.Errorf("installed: %+v, was %+v", after, before)
			}
			if _, err := f.Uninstall(t.Context()); err != nil {
				t.Fatal(err)
			}
			if after := attributes(t, f.Config, acl, comment); after != before || read(t, f.Config) != "Host x\n" {
				t.Errorf("uninstalled: %+v, was %+v", after, before)
			}
		})
	}
}

// attrs are what a file has beside its content.
type attrs struct {
	mode         os.FileMode
	uid, gid     uint32
	acl, comment string
}

func attributes(t *testing.T, file, acl, comment string) attrs {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string) string {
		value := make([]byte, 1024)
		n, err := unix.Getxattr(file, name, value)
		if err != nil && !errors.Is(err, unix.ENODATA) {
			t.Fatal(err)
		}
		return string(value[:max(n, 0)])
	}
	st := info.Sys().(*syscall.Stat_t)
	return attrs{info.Mode(), st.Uid, st.Gid, get(acl), get(comment)}
}
