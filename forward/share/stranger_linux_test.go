package share

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/peer"
)

const nobody = 65534

func asNobody(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test must run as root, as scripts/test does: it needs a process of another user")
	}
	self := "/proc/self/exe" // the test binary lies where others cannot go
	return func(cmd *exec.Cmd) {
		cmd.Path = self
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}

// TestStranger: another user does not get in, even where the file system lets them, and is not
// taken for the owner.
func TestStranger(t *testing.T) {
	s := newOpenSite(t)
	owner := s.share(t, chain.Options{})
	stranger := s.process(t, asNobody(t))
	if stranger.say("connect", s.place.socketPath()); !strings.Contains(stranger.answer(), "permission denied") {
		t.Error("a stranger could connect")
	}
	for path, mode := range map[string]os.FileMode{s.place.Dir: 0o777, s.place.socketPath(): 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	stranger.want("0 bytes", "connect", s.place.socketPath())
	if n := owner.Sharers(); n != 0 {
		t.Errorf("%d sharers", n)
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}

	stranger.want("<nil>", "listen", s.place.socketPath())
	d := &sharedDial{rendezvous: s.place}
	if _, err := d.joinSharingProcess(t.Context()); !errors.Is(err, peer.ErrStranger) {
		t.Errorf("joined a stranger: %v", err)
	}
	if c := s.share(t, chain.Options{}); !errors.Is(c.Alone(), owndir.ErrShared) {
		t.Errorf("alone: %v", c.Alone())
	}
}

// TestNowhere: where nothing can be shared, there is a chain all the same.
func TestNowhere(t *testing.T) {
	s := newSite(t, nil)
	base := filepath.Dir(s.place.Dir)
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open, foreign := filepath.Join(base, "open"), filepath.Join(base, "foreign")
	for _, dir := range []string{open, foreign} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(open, 0o777), os.Chown(foreign, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", filepath.Join(file, "x"), open, foreign, link, filepath.Join(base, strings.Repeat("long/", 20))} {
		s.place.Dir = dir
		c := s.share(t, chain.Options{})
		if c.Alone() == nil {
			t.Errorf("%q: shared", dir)
		}
		if err := c.Exec(t.Context(), "echo", nil, io.Discard, nil); err != nil {
			t.Error(err)
		}
		if n := c.Leave(t.Context()); n != 0 {
			t.Errorf("%d left", n)
		}
	}
}
