//go:build unix

package sshconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWriteInPlace: nothing is written in the directory for temporary files, in which other users
// may rename what is there.
func TestWriteInPlace(t *testing.T) {
	f := files(t)
	write(t, f.Config, "Host x\n", 0o600)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	long := time.Unix(1, 0)
	for name, do := range map[string]func() error{
		"config": func() error { _, err := f.Install(t.Context(), text(t)); return err },
		"keys": func() error {
			return Known(f.Known).Put(t.Context(), Prefix+"abcdefgh", "nid1", []string{hostKey}, time.Now(), func(string) bool { return true })
		},
	} {
		if err := os.Chtimes(tmp, long, long); err != nil {
			t.Fatal(err)
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(tmp); err != nil || !info.ModTime().Equal(long) {
			t.Errorf("%s: a file was made in %s: %v", name, tmp, err)
		}
	}
}

// interruptSSH puts an ssh first in PATH that runs a command before its call number n, and is the
// system's own otherwise.
func interruptSSH(t *testing.T, n int, command string) {
	t.Helper()
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	write(t, filepath.Join(bin, "ssh"), fmt.Sprintf("#!/bin/sh\necho >>%[1]s/calls\n[ $(wc -l <%[1]s/calls) -ne %[2]d ] || { %[3]s; }\nexec %[4]s \"$@\"\n", bin, n, command, ssh), 0o700)
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// TestInstallWhileEdited: what the user saves while ssh is asked stays, and is not in a backup
// alone.
func TestInstallWhileEdited(t *testing.T) {
	for call := 1; call <= 3; call++ { // ssh reads the configuration, our file, the new configuration
		t.Run(strconv.Itoa(call), func(t *testing.T) {
			f := files(t)
			write(t, f.Config, "Host a\n", 0o600)
			interruptSSH(t, call, "printf 'Host b\\n' >>"+f.Config)
			if _, err := f.Install(t.Context(), text(t)); err != nil {
				t.Fatal(err)
			}
			if got := read(t, f.Config); got != f.block()+"Host a\nHost b\n" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestInstallRefusedWhileEdited: what the user saves while ssh is asked about the new configuration
// stays if ssh refuses that.
func TestInstallRefusedWhileEdited(t *testing.T) {
	f := files(t)
	write(t, f.Config, "Host a\n", 0o600)
	interruptSSH(t, 3, "printf 'Nonsense yes\\n' >>"+f.Config)
	var refused *RefusedError
	if _, err := f.Install(t.Context(), text(t)); !errors.As(err, &refused) || refused.File != f.Config {
		t.Errorf("got %v", err)
	}
	if got := read(t, f.Config); !strings.HasSuffix(got, "Host a\nNonsense yes\n") {
		t.Errorf("got %q", got)
	}
	if got := read(t, f.Backup); got != "Host a\n" {
		t.Errorf("the only copy of the file as it was is %q", got)
	}
}

// TestInstallNewWhileEdited: a configuration that the user makes meanwhile is not overwritten, nor
// removed.
func TestInstallNewWhileEdited(t *testing.T) {
	f := files(t)
	interruptSSH(t, 1, "printf 'Host b\\n' >"+f.Config)
	if _, err := f.Install(t.Context(), text(t)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, f.Config); got != f.block()+"Host b\n" {
		t.Errorf("got %q", got)
	}
}

// TestInstallAlwaysEdited: a file that never stays the same is left alone.
func TestInstallAlwaysEdited(t *testing.T) {
	f := files(t)
	write(t, f.Config, "Host a\n", 0o600)
	interruptSSH(t, 0, ":") // no call
	ssh, _ := exec.LookPath("ssh")
	write(t, ssh, strings.Replace(read(t, ssh), "exec ", "printf 'Host b\\n' >>"+f.Config+"\nexec ", 1), 0o700)
	var failed *WriteError
	if _, err := f.Install(t.Context(), text(t)); !errors.As(err, &failed) || failed.File != f.Config {
		t.Errorf("got %v", err)
	}
	if got := read(t, f.Config); strings.Contains(got, "cscs") || strings.Count(got, "Host b\n") != strings.Count(read(t, filepath.Join(filepath.Dir(ssh), "calls")), "\n") {
		t.Errorf("got %q", got)
	}
}

// TestInstallAtOnce: two processes that install at the same time do not cross.
func TestInstallAtOnce(t *testing.T) {
	f := files(t)
	write(t, f.Config, "Host a\n", 0o600)
	first, second := text(t), text(t)+"# later\n"
	started, end := filepath.Join(t.TempDir(), "started"), filepath.Join(t.TempDir(), "end")
	for _, fifo := range []string{started, end} {
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	interruptSSH(t, 2, "echo >"+started+"; read line <"+end)
	done := make(chan error, 2)
	go func() { _, err := f.Install(t.Context(), first); done <- err }()
	_, _ = os.ReadFile(started) // the first has written its part
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := f.Install(ctx, second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second did not wait: %v", err)
	}
	if got := read(t, f.Part); got != first {
		t.Errorf("the second wrote %q", got)
	}
	if err := os.WriteFile(end, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := f.Install(t.Context(), second); err != nil || read(t, f.Part) != second {
		t.Errorf("%v, %q", err, read(t, f.Part))
	}
	if _, err := f.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Known), "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestInstallManyAtOnce: the end of one, which removes its lock, is no error of those that wait.
func TestInstallManyAtOnce(t *testing.T) {
	f := files(t)
	write(t, f.Config, "Host a\n", 0o600)
	done := make(chan error, 8)
	for range cap(done) {
		go func() { _, err := f.Install(t.Context(), text(t)); done <- err }()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := read(t, f.Config); got != f.block()+"Host a\n" {
		t.Errorf("got %q", got)
	}
}
