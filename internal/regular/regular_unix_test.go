//go:build unix

package regular

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// TestRead: a file is read, by a link too; what is none is refused at once, with what it is.
func TestRead(t *testing.T) {
	dir := sshtest.ShortDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, err := range []error{
		os.WriteFile(at("file"), []byte("text"), 0o600), os.Symlink("file", at("link")), os.Mkdir(at("dir"), 0o700),
		syscall.Mkfifo(at("fifo"), 0o600), os.Symlink("fifo", at("link to a fifo")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, kind := range map[string]string{
		at("file"): "", at("link"): "", at("dir"): "a directory", at("fifo"): "a FIFO", at("link to a fifo"): "a FIFO",
		at("socket"): "a socket", os.DevNull: "a device",
	} {
		data, _, err := Read(path)
		var e *Error
		switch {
		case kind == "" && (err != nil || string(data) != "text"):
			t.Errorf("%s: %q, %v", path, data, err)
		case kind != "" && (!errors.As(err, &e) || !strings.HasPrefix(e.Kind, kind)):
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := os.Truncate(at("file"), most+1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(at("file")); !errors.Is(err, errLarge) {
		t.Errorf("a large one: %v", err)
	}
	if _, _, err := Read(at("none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
