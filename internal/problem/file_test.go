//go:build unix

package problem

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/sshconfig"
)

// paste does in a shell what a fix says.
func paste(t *testing.T, fix string) {
	t.Helper()
	if fix == "" {
		t.Fatal("there is no fix")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", fix)
	cmd.Env = append(os.Environ(), "EDITOR=true")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", fix, err, out)
	}
}

// asUser reports whether this process is one that modes of files bind. As root, which may read and
// write any file, it runs the test in another process, as another user.
func asUser(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		return true
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "cscs-problem") //nolint:usetesting // root alone may enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$") // the test binary lies where others cannot go
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as another user: %v\n%s", err, out)
	}
	return false
}

// TestUnknownHostFix: whatever known_hosts is like, what is pasted makes the host known and
// spoils no other line.
func TestUnknownHostFix(t *testing.T) {
	if !asUser(t) {
		return
	}
	const known, line = "ela ssh-ed25519 AAAA", "daint ssh-ed25519 BBBB"
	for name, tt := range map[string]struct {
		make func(t *testing.T, file string)
		want string
	}{
		"ended":     {func(t *testing.T, file string) { put(t, file, known+"\n") }, known + "\n" + line + "\n"},
		"not ended": {func(t *testing.T, file string) { put(t, file, known) }, known + "\n" + line + "\n"},
		"empty":     {func(t *testing.T, file string) { put(t, file, "") }, line + "\n"},
		"not there": {func(*testing.T, string) {}, line + "\n"},
		"a link to nothing": {func(t *testing.T, file string) {
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("../dotfiles/known", file); err != nil {
				t.Fatal(err)
			}
		}, line + "\n"},
		"not to be written": {func(t *testing.T, file string) {
			put(t, file, known+"\n")
			if err := os.Chmod(file, 0o400); err != nil {
				t.Fatal(err)
			}
		}, known + "\n" + line + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "my .ssh", "known_hosts")
			tt.make(t, file)
			p := Of(&chain.HostKeyError{Host: "daint", Kind: chain.HostKeyUnknown, Line: line, File: file})
			paste(t, p.Fix)
			if got, err := os.ReadFile(file); err != nil || string(got) != tt.want {
				t.Errorf("by %s: %q, %v", p.Fix, got, err)
			}
		})
	}
	null := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.Symlink(os.DevNull, null); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{null, os.DevNull, "none"} {
		p := Of(&chain.HostKeyError{Host: "daint", Kind: chain.HostKeyUnknown, Line: line, File: file})
		if p.Fix != "" || !strings.Contains(p.Hint, file+" keeps no host keys") {
			t.Errorf("%s: %+v", file, p)
		}
	}
}

// TestUnreadableFix: after what is pasted, the file is there to read, or nothing is in its place.
func TestUnreadableFix(t *testing.T) {
	if !asUser(t) {
		return
	}
	for name, harm := range map[string]func(file string) error{
		"shut":      func(file string) error { return os.WriteFile(file, nil, 0) },
		"directory": func(file string) error { return os.Mkdir(file, 0o700) },
		"circle":    func(file string) error { return os.Symlink(file, file) },
		"pipe":      func(file string) error { return syscall.Mkfifo(file, 0o600) },
	} {
		why := map[string]error{"shut": syscall.EACCES, "directory": syscall.EISDIR, "circle": syscall.ELOOP, "pipe": syscall.EINVAL}[name]
		for what, problem := range map[string]func(file string) error{
			"configuration": func(file string) error { return &sshconfig.ReadError{File: file, Err: why} },
			"known hosts":   func(file string) error { return &chain.PassedOverError{File: file, Err: why} },
			"host": func(file string) error {
				return &chain.HostKeyError{Kind: chain.HostKeyUnknown, Line: "l", File: file, Unread: &chain.PassedOverError{File: file, Err: why}}
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "a file")
				if err := harm(file); err != nil {
					t.Fatal(err)
				}
				p := Of(problem(file))
				paste(t, p.Fix)
				info, err := os.Lstat(file)
				if !os.IsNotExist(err) && (err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o600 != 0o600) {
					t.Errorf("after %s: %v, %v", p.Fix, info, err)
				}
				if !strings.Contains(p.Message, file) {
					t.Errorf("which file? %q", p.Message)
				}
			})
		}
	}
}

// TestStateDirFix: after what is pasted, the directory can be made and written.
func TestStateDirFix(t *testing.T) {
	if !asUser(t) {
		return
	}
	for name, tt := range map[string]struct {
		harm func(home string) error
		err  error
	}{
		"shut": {func(home string) error {
			put(t, filepath.Join(home, "state", "cscs", "log"), "")
			return os.Chmod(filepath.Join(home, "state", "cscs"), 0o500)
		}, syscall.EACCES},
		"above shut": {func(home string) error { return os.Mkdir(filepath.Join(home, "state"), 0o500) }, syscall.EACCES},
		"a file":     {func(home string) error { return os.WriteFile(filepath.Join(home, "state"), nil, 0o600) }, syscall.ENOTDIR},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_STATE_HOME", "")
			home := t.TempDir()
			dir := filepath.Join(home, "state", "cscs")
			if err := tt.harm(home); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(filepath.Join(home, "state"), 0o700); _ = os.Chmod(dir, 0o700) })
			p := Of(&doctor.UnwritableError{Path: dir, Err: tt.err})
			paste(t, p.Fix)
			for at := dir; at != home; at = filepath.Dir(at) {
				if info, err := os.Stat(at); err == nil && (!info.IsDir() || info.Mode().Perm()&0o700 != 0o700) {
					t.Errorf("after %s: %s is %v", p.Fix, at, info.Mode())
				}
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatalf("after %s: %v", p.Fix, err)
			}
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("after %s: %v, %v", p.Fix, info.Mode(), err)
			}
		})
	}
	if p := Of(&doctor.UnwritableError{Path: "/s", Err: syscall.EROFS}); p.Fix != "export XDG_STATE_HOME=$(mktemp -d)" || !strings.Contains(p.Hint, p.Fix) {
		t.Errorf("%+v", p)
	}
}

// put writes a file and the directory that it is in.
func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
