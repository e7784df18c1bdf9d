package paths

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/problem"
)

const nobody = 65534

// TestForeignStateDir: a state directory that is not the user's alone is refused, whatever is
// to be read or written there.
func TestForeignStateDir(t *testing.T) {
	for name, c := range map[string]struct {
		plant  func(dir string) error
		refuse bool
	}{
		"not there":         {plant: func(string) error { return nil }},
		"the user's":        {plant: func(dir string) error { return os.Mkdir(dir, 0o755) }},
		"moved by the user": {plant: func(dir string) error { return os.Symlink(t.TempDir(), dir) }},
		"another user's":    {plant: func(dir string) error { return errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, nobody, nobody)) }, refuse: true},
		"another user's link": {plant: func(dir string) error {
			return errors.Join(os.Symlink(t.TempDir(), dir), os.Lchown(dir, nobody, nobody))
		}, refuse: true},
		"for all to write": {plant: func(dir string) error { return errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o777)) }, refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("XDG_STATE_HOME", home)
			if err := c.plant(filepath.Join(home, "cscs")); err != nil {
				t.Fatal(err)
			}
			_, err := StateDir()
			if errors.Is(err, owndir.ErrShared) != c.refuse || err != nil && !c.refuse {
				t.Errorf("refused: %v; want it refused: %v", err, c.refuse)
			}
			if c.refuse {
				if p := problem.Of(err); p.ID != "shared-directory" || p.Code != problem.Failure || p.Hint == "" {
					t.Errorf("problem %+v", p)
				}
			}
		})
	}
}

// TestForeignRuntimeDir: sockets are put where only the user can put them.
func TestForeignRuntimeDir(t *testing.T) {
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	beside := filepath.Join(state, "cscs", "run")
	for name, c := range map[string]struct {
		plant func(dir string) error
		used  bool
	}{
		"the user's":       {plant: func(dir string) error { return os.Mkdir(dir, 0o700) }, used: true},
		"not there":        {plant: func(string) error { return nil }},
		"another user's":   {plant: func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, nobody, nobody)) }},
		"for all to write": {plant: func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) }},
		"like /tmp":        {plant: func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777|os.ModeSticky)) }},
		"another user's link": {plant: func(dir string) error {
			return errors.Join(os.Symlink(t.TempDir(), dir), os.Lchown(dir, nobody, nobody))
		}},
		"a file": {plant: func(dir string) error { return os.WriteFile(dir, nil, 0o600) }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "runtime")
			if err := c.plant(dir); err != nil {
				t.Fatal(err)
			}
			t.Setenv("XDG_RUNTIME_DIR", dir)
			want := beside
			if c.used {
				want = filepath.Join(dir, "cscs")
			}
			if got, err := SocketDir(); got != want || err != nil {
				t.Errorf("%s, %v; want %s", got, err, want)
			}
		})
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "")
	if got, err := SocketDir(); got != "" || err == nil {
		t.Errorf("without a home: %q, %v: it would be below the working directory", got, err)
	}
}

// TestStateDirAsRoot: with sudo and the user's HOME, no directory is made there.
func TestStateDirAsRoot(t *testing.T) {
	for name, below := range map[string]string{"nothing": "", "a state directory": ".local/state", "one of cscs": ".local/state/cscs"} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			t.Setenv("XDG_STATE_HOME", "")
			if err := os.MkdirAll(filepath.Join(home, below), 0o700); err != nil {
				t.Fatal(err)
			}
			for dir := filepath.Join(home, below); ; dir = filepath.Dir(dir) {
				if err := os.Chown(dir, nobody, nobody); err != nil {
					t.Fatal(err)
				}
				if dir == home {
					break
				}
			}
			_, err := StateDir()
			if p := problem.Of(err); p.ID != "other-owner" || p.Code != problem.Usage {
				t.Errorf("%v: problem %+v", err, p)
			}
		})
	}
}
