package sshconfig

import (
	"os"
	"path/filepath"
	"testing"
)

// TestUninstallThroughLink: a link of the user's, into a directory of dotfiles for example, stays. What
// was written through it is removed.
func TestUninstallThroughLink(t *testing.T) {
	for name, c := range map[string]struct {
		links func(home, ssh string) map[string]string // by name
		made  func(f Files) string
	}{
		"our file": {
			func(_, ssh string) map[string]string {
				return map[string]string{filepath.Join(ssh, "cscs_config"): filepath.Join("..", "dot", "made")}
			}, func(f Files) string { return f.Part },
		},
		"a link to a link": {
			func(home, ssh string) map[string]string {
				return map[string]string{filepath.Join(ssh, "cscs_config"): filepath.Join(home, "dot", "link"), filepath.Join(home, "dot", "link"): "made"}
			}, func(f Files) string { return f.Part },
		},
		"the user's own file": {
			func(home, ssh string) map[string]string {
				return map[string]string{filepath.Join(ssh, "config"): filepath.Join(home, "dot", "made")}
			}, func(f Files) string { return f.Config },
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := files(t)
			ssh := filepath.Dir(f.Config)
			home := filepath.Dir(ssh)
			made := filepath.Join(home, "dot", "made")
			if err := os.MkdirAll(filepath.Dir(made), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(ssh, 0o700); err != nil {
				t.Fatal(err)
			}
			links := c.links(home, ssh)
			for link, to := range links {
				if err := os.Symlink(to, link); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // an installation after the end of another is the same
				if _, err := f.Install(t.Context(), text(t)); err != nil {
					t.Fatal(err)
				}
				if info, err := os.Lstat(made); err != nil || !info.Mode().IsRegular() || read(t, made) != read(t, c.made(f)) {
					t.Fatalf("%s is not behind the link: %v", made, err)
				}
				if _, err := f.Uninstall(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Lstat(made); !os.IsNotExist(err) {
					t.Errorf("%s is left: %v", made, err)
				}
				for link, to := range links {
					if now, err := os.Readlink(link); err != nil || now != to {
						t.Errorf("the link %s is %q, %v", link, now, err)
					}
				}
			}
		})
	}
}

// TestBehindLinkedDirectory: a relative link leads where the system takes it, in a directory that is a
// link itself too.
func TestBehindLinkedDirectory(t *testing.T) {
	home := t.TempDir()
	real := filepath.Join(home, "dot", "ssh")
	if err := os.MkdirAll(real, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(home, ".ssh")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join("..", "made"), filepath.Join(link, "config")); err != nil {
		t.Fatal(err)
	}
	at, err := resolveLinks(filepath.Join(link, "config"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, at, "Host x\n", 0o600)
	if got := read(t, filepath.Join(link, "config")); got != "Host x\n" {
		t.Errorf("got %q, by way of %s", got, at)
	}
}
