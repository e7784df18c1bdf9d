package demo

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/strangertest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// TestPlantedPlace: a cluster that another user describes where ours would be is not entered.
func TestPlantedPlace(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(greetingLine()))
			_ = conn.Close()
		}
	}()
	for name, orders := range map[string][]string{
		"a directory": {"mkdir DIR", "file DIR/lock"},
		"a link":      {"mkdir OTHER", "file OTHER/lock", "symlink OTHER DIR"},
		"a FIFO":      {"mkdir DIR", "fifo DIR/lock"},
	} {
		t.Run(name, func(t *testing.T) {
			public := strangertest.PublicDir(t)
			p := Place{Dir: filepath.Join(public, "demo")}
			for _, order := range orders {
				strangertest.Plant(t, strings.NewReplacer("DIR", p.Dir, "OTHER", filepath.Join(public, "other")).Replace(order))
			}
			if err := os.WriteFile(p.filePath(doorFile), []byte(l.Addr().String()+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, public)
			done := make(chan error, 1)
			go func() {
				_, err := p.Lives()
				done <- err
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				v, err := p.Enter(ctx)
				if v != nil {
					v.Leave(ctx)
				}
				done <- err
			}()
			for _, what := range []string{"seen", "entered"} {
				if err := waittest.Receive(t, 30*time.Second, what+", which waits for no other user", done); !errors.Is(err, owndir.ErrShared) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if after := snapshot(t, public); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
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

// TestStrangerVisits: a process of another user is no visitor: it cannot keep the cluster.
func TestStrangerVisits(t *testing.T) {
	p := Place{Dir: filepath.Join(t.TempDir(), "run", "demo")}
	d, err := p.openDoor()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Shut()
	addr, err := os.ReadFile(p.filePath(doorFile))
	if err != nil {
		t.Fatal(err)
	}
	if said := strangertest.Start(t, "visit "+strings.TrimSpace(string(addr)))(); said != "0 bytes" {
		t.Errorf("the stranger heard %s", said)
	}
}

// TestStrangersDoor: what another user runs at the port of a cluster that was killed is not joined.
func TestStrangersDoor(t *testing.T) {
	p := Place{Dir: filepath.Join(t.TempDir(), "demo")}
	if err := owndir.Make(p.Dir); err != nil {
		t.Fatal(err)
	}
	says := strangertest.Start(t, "greet "+greetingLine())
	if err := os.WriteFile(p.filePath(doorFile), []byte(says()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := p.joinCluster(t.Context()); v != nil || err != nil {
		t.Errorf("joined %v, %v", v, err)
	}
}
