package registry

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/strangertest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// publicDir is a directory like /tmp, which shortDir is in until the test ends.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, before := strangertest.PublicDir(t), temporary
	temporary = dir
	t.Cleanup(func() { temporary = before })
	return dir
}

// farAway is a store whose sockets have no place beside it.
func farAway(t *testing.T) *Store {
	t.Helper()
	return Open(filepath.Join(t.TempDir(), strings.Repeat("long/", 20)))
}

// snapshot lists what is below a directory, with owners and modes.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "find", dir, "-printf", `%p %u %M %l %s\n`).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestPlantedSocketDir: another user made what is to be the directory of the control sockets. It
// is refused, and nothing in it is removed, made or changed.
func TestPlantedSocketDir(t *testing.T) {
	for name, orders := range map[string][]string{
		"a directory":              {"mkdir DIR", "file DIR/abcdefgh.sock"},
		"a link to a directory":    {"mkdir OTHER", "file OTHER/abcdefgh.sock", "symlink OTHER DIR"},
		"a link to the user's own": {"symlink OWN DIR"},
		"a link to nothing":        {"symlink OTHER DIR"},
		"a FIFO":                   {"fifo DIR"},
		"a file":                   {"file DIR"},
	} {
		t.Run(name, func(t *testing.T) {
			public, own := publicDir(t), t.TempDir()
			if err := os.WriteFile(filepath.Join(own, "abcdefgh.sock"), []byte("own"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, order := range orders {
				strangertest.Plant(t, strings.NewReplacer("DIR", shortDir(), "OTHER", filepath.Join(public, "other"), "OWN", own).Replace(order))
			}
			before := snapshot(t, public) + snapshot(t, own)
			s := farAway(t)
			take(t, s, Record{ID: "abcdefgh"}).Leave()
			c, err := Serve(s.Dir(), "abcdefgh", attending{})
			if err == nil {
				c.Close(Outcome{})
			}
			if !errors.Is(err, owndir.ErrShared) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), shortDir()) {
				t.Errorf("served: %v", err)
			}
			if err := s.Forget("abcdefgh"); err != nil {
				t.Error(err)
			}
			if after := snapshot(t, public) + snapshot(t, own); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}

// TestStrangerListens: a socket where another user listens hears nothing, whatever a record says.
func TestStrangerListens(t *testing.T) {
	public := publicDir(t)
	for name, c := range map[string]struct {
		prepare func(dir string) error
		want    error
	}{
		// The peer is what gives it away.
		"in a directory of the user's": {func(dir string) error { return os.Mkdir(dir, 0o700) }, peer.ErrStranger},
		"in a directory of its own": {func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, strangertest.UID, strangertest.UID))
		}, owndir.ErrShared},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(public, strings.ReplaceAll(name, " ", "-"))
			if err := c.prepare(dir); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "abcdefgh.sock")
			says := strangertest.Listen(t, dir, path)
			for what, ask := range map[string]func(*Peer) error{
				"stop":   func(p *Peer) error { _, err := p.Stop(t.Context()); return err },
				"detach": func(p *Peer) error { _, err := p.Detach(t.Context()); return err },
				"link":   func(p *Peer) error { _, err := p.Link(t.Context()); return err },
				"enter":  func(p *Peer) error { _, _, err := p.Enter(t.Context()); return err },
			} {
				p := Reach(Record{ID: "abcdefgh", Control: path})
				p.timeout = time.Second
				var gone *GoneError
				if err := ask(p); !errors.Is(err, c.want) || !errors.As(err, &gone) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: %v", what, err)
				}
			}
			for range 4 {
				if !errors.Is(c.want, peer.ErrStranger) {
					continue // no process connects
				}
				if said := says(); said != "0 bytes" {
					t.Errorf("the stranger heard %s", said)
				}
			}
		})
	}
}

// TestStrangerConnects: another user gets no answer from the control socket, even where the file
// system lets them in.
func TestStrangerConnects(t *testing.T) {
	s := Open(filepath.Join(publicDir(t), "state"))
	c, err := Serve(s.Dir(), "abcdefgh", attending{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(Outcome{})
	if said := strangertest.Start(t, "connect "+c.Path())(); !strings.Contains(said, "permission denied") {
		t.Errorf("a stranger: %s", said)
	}
	for path, mode := range map[string]os.FileMode{filepath.Dir(s.Dir()): 0o777, s.Dir(): 0o777, c.Path(): 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if said := strangertest.Start(t, "connect "+c.Path())(); said != "0 bytes" {
		t.Errorf("a stranger with the file system open: %s", said)
	}
}

// TestPlantedStore: records that another user put where ours would be are not read, and nothing is
// written beside them.
func TestPlantedStore(t *testing.T) {
	record := `{"v":1,"id":"abcdefgh","state":"ready","cluster":"evil","control":"/nowhere"}`
	for name, orders := range map[string][]string{
		"the directory":    {"mkdir STATE", "mkdir STATE/sessions"},
		"a link":           {"mkdir OTHER", "mkdir OTHER/sessions", "symlink OTHER STATE"},
		"with a FIFO":      {"mkdir STATE", "mkdir STATE/sessions", "fifo STATE/sessions/.lock"},
		"a link as a lock": {"mkdir STATE", "mkdir STATE/sessions", "symlink OWN/made STATE/sessions/.lock"},
	} {
		t.Run(name, func(t *testing.T) {
			public, own := publicDir(t), t.TempDir()
			state := filepath.Join(public, "state")
			for _, order := range orders {
				strangertest.Plant(t, strings.NewReplacer("STATE", state, "OTHER", filepath.Join(public, "other"), "OWN", own).Replace(order))
			}
			if err := os.WriteFile(filepath.Join(state, "sessions", "abcdefgh.json"), []byte(record), 0o644); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, public) + snapshot(t, own)
			s := Open(state)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if all, err := s.List(); !errors.Is(err, owndir.ErrShared) || len(all) > 0 {
					t.Errorf("listed %v, %v", all, err)
				}
				if _, err := s.Take(Record{ID: "bcdefgha"}); !errors.Is(err, owndir.ErrShared) {
					t.Errorf("taken: %v", err)
				}
				if _, err := s.Join("bcdefgha", 1); !errors.Is(err, owndir.ErrShared) {
					t.Errorf("joined: %v", err)
				}
				if err := s.Forget("abcdefgh"); !errors.Is(err, owndir.ErrShared) {
					t.Errorf("forgotten: %v", err)
				}
			}()
			waittest.Receive(t, 30*time.Second, "an end that waits for no other user", done)
			if after := snapshot(t, public) + snapshot(t, own); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}
