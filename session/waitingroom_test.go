package session

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alps-tunnel/cscs/forward"
)

// A fakeRoom writes down what it is told, and wants nothing.
type fakeRoom struct {
	forward.Room
	mu   sync.Mutex
	told []string
}

func (r *fakeRoom) tell(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, s)
}

func (r *fakeRoom) Judge([]byte) forward.Verdict { return forward.Yours }

func (r *fakeRoom) Absent() string      { return forward.Unavailable }
func (r *fakeRoom) Serves(int, int)     {}
func (r *fakeRoom) Shows(path string)   { r.tell("shows " + path) }
func (r *fakeRoom) Diverts([]byte) bool { return false }
func (r *fakeRoom) Vouch(net.Conn) bool { return true }

func (r *fakeRoom) Leads(there bool) {
	if there {
		r.tell("there")
	} else {
		r.tell("away")
	}
}

func (r *fakeRoom) Begin(_ int, path, _ string, protected bool, _ func(context.Context) (net.Conn, error)) {
	r.tell("begin " + path)
	if protected {
		r.tell("protected")
	}
}

func (r *fakeRoom) Beside(int, func(context.Context) (net.Conn, error)) forward.Room { return r }

func (r *fakeRoom) Login(cookies []string) { r.tell("login " + strings.Join(cookies, " ")) }

func (r *fakeRoom) Link(app string) string { return app + "&by=room" }

// The browser is opened while the job waits, at an address without the secret; what lets it in
// is there before the way is.
func TestRoomIsOpenedInTheQueue(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_QUEUE=1")
	cfg := a.config()
	r := &fakeRoom{Room: nil}
	cfg.Room = r
	opened := make(chan string, 1)
	cfg.Open = func(_ context.Context, link string) error {
		opened <- link
		return nil
	}
	cfg.App.Query = map[string][]string{"token": {"a-secret-of-some-length"}}
	l := a.start(cfg)
	if e := l.await(EventQueued); !strings.HasPrefix(e.Local, "http://127.0.0.1:") || strings.Contains(e.Local, "secret") || !strings.HasSuffix(e.Link, "&by=room") || !strings.Contains(e.Link, "secret") {
		t.Errorf("the session waits at %q, by the link %q", e.Local, e.Link)
	}
	if link := <-opened; !strings.HasPrefix(link, "http://127.0.0.1:") || strings.Contains(link, "secret") {
		t.Errorf("opened %q", link)
	}
	l.interrupt(ErrInterrupted)
	_ = l.end()
	a.nothingLeft()
	if !slices.Equal(r.told, []string{"begin /"}) {
		t.Errorf("the room was told %q", r.told)
	}
}

// A browser that cannot be opened is told of with the address to open, which has no secret in it.
func TestBrowserIsNotOpened(t *testing.T) {
	t.Parallel()
	a := newAlps(t, "FAKE_QUEUE=1")
	cfg := a.config()
	cfg.Room = &fakeRoom{}
	cfg.Open = func(context.Context, string) error { return errors.New("exit status 4") }
	cfg.App.Query = map[string][]string{"token": {"a-secret-of-some-length"}}
	l := a.start(cfg)
	e := l.await(EventWarning)
	if want := "exit status 4: open " + e.Local + " yourself"; e.Local == "" || e.Message != want || strings.Contains(e.Message, "secret") || !strings.Contains(e.Link, "secret") {
		t.Errorf("told %q, link %q", e.Message, e.Link)
	}
	l.interrupt(ErrInterrupted)
	_ = l.end()
	a.nothingLeft()
}

func TestRoomIsToldTheLogin(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	r := &fakeRoom{}
	cfg.Room = r
	cfg.App.Probe = func(context.Context, *http.Client, string) error { return nil }
	cfg.App.Login = func(ctx context.Context, c *http.Client, base string) ([]string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/", nil)
		if err != nil {
			return nil, err
		}
		res, err := c.Do(req) // through the tunnel
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		return []string{"login=1"}, nil
	}
	l := a.start(cfg)
	ready := l.await(EventReady)
	if !strings.HasSuffix(ready.Link, "&by=room") || strings.Contains(ready.URL, "room") {
		t.Errorf("links %q and %q", ready.URL, ready.Link)
	}
	l.interrupt(ErrInterrupted)
	if err := l.end(); err != nil {
		t.Error(err)
	}
	if want := []string{"begin /", "login login=1", "there"}; !slices.Equal(r.told, want) {
		t.Errorf("the room was told %q, want %q", r.told, want)
	}
}
