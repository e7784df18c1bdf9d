package browser

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Where the kernel does not vouch for anyone, a file does what the server does
// here. That needs no other system to be tried.
func TestOpenFile(t *testing.T) {
	called := fakeXDGOpen(t, `f=${1#file://}; IFS= read -r x <"$f" || exit 4; /bin/cp -p "$f" copy; /bin/ls -ld "$f" "${f%/*}" >modes; /bin/mv modes done`)
	t.Setenv("TMPDIR", t.TempDir())
	o := newOpener()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opened := make(chan error, 1)
	go func() { opened <- o.openFile(ctx, link) }()
	awaitFile(t, "done")
	cancel()
	if err := <-opened; !errors.Is(err, context.Canceled) {
		t.Errorf("openFile: %v", err)
	}
	if argv := called(); strings.Contains(argv, secret) {
		t.Errorf("xdg-open was called with %q", argv)
	}
	b, err := os.ReadFile("copy")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), link); n != 2 {
		t.Errorf("the link is %d times in %s", n, b)
	}
	modes, err := os.ReadFile("done")
	if err != nil {
		t.Fatal(err)
	}
	if s := string(modes); !strings.HasPrefix(s, "drwx------ ") || !strings.Contains(s, "\n-rw------- ") {
		t.Errorf("modes: %s", s)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
}
