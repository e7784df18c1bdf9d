package browser

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// serveOffer serves an offer, to users as who has it.
func serveOffer(t *testing.T, who peer.Func) *offer {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	o := newOffer(way, s.Listener.Addr().String(), who)
	s.Config.Handler = o
	s.Start()
	t.Cleanup(s.Close)
	return o
}

func peerIs(uid int) peer.Func {
	return func(_, _ netip.AddrPort) (int, error) { return uid, nil }
}

func mustFetch(t *testing.T, method, at string, change func(*http.Request)) answer {
	t.Helper()
	a, err := fetch(method, at, change)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestOfferIsTakenOnce(t *testing.T) {
	o := serveOffer(t, peer.UID)
	a := mustFetch(t, http.MethodGet, o.url(), nil)
	if diff := cmp.Diff(target, a.Location); diff != "" || a.Status != http.StatusSeeOther {
		t.Fatalf("status %d, location: %s", a.Status, diff)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := a.Header.Get("Set-Cookie"); got != cookie {
		t.Errorf("Set-Cookie: %q", got)
	}
	if !a.Close {
		t.Error("the connection stays open")
	}
	<-o.used
	if a := mustFetch(t, http.MethodGet, o.url(), nil); a.Status != http.StatusNotFound || a.Location != "" {
		t.Errorf("the second time: %+v", a)
	}
}

// What does not come from the browser itself is refused and leaves the link
// good.
func TestOfferIsNotTaken(t *testing.T) {
	o := serveOffer(t, peer.UID)
	base := "http://" + o.host
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, tt := range []struct {
		name, method, at string
		change           func(*http.Request)
	}{
		{"favicon", http.MethodGet, base + "/favicon.ico", nil},
		{"root", http.MethodGet, base + "/", nil},
		{"shorter", http.MethodGet, o.url()[:len(o.url())-1], nil},
		{"longer", http.MethodGet, o.url() + "/", nil},
		{"head", http.MethodHead, o.url(), nil},
		{"post", http.MethodPost, o.url(), nil},
		{"options", http.MethodOptions, o.url(), nil},
		{"prefetch", http.MethodGet, o.url(), header("Sec-Purpose", "prefetch;prerender")},
		{"old prefetch", http.MethodGet, o.url(), header("Purpose", "prefetch")},
		{"Firefox's prefetch", http.MethodGet, o.url(), header("X-Moz", "prefetch")},
		{"Safari's preview", http.MethodGet, o.url(), header("X-Purpose", "preview")},
		{"rebound name", http.MethodGet, o.url(), func(r *http.Request) { r.Host = strings.Replace(o.host, "127.0.0.1", "evil.example", 1) }},
		{"localhost", http.MethodGet, o.url(), func(r *http.Request) { r.Host = strings.Replace(o.host, "127.0.0.1", "localhost", 1) }},
		{"another port", http.MethodGet, o.url(), func(r *http.Request) { r.Host = "127.0.0.1:1" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if a := mustFetch(t, tt.method, tt.at, tt.change); a.Status != http.StatusNotFound || a.Location != "" {
				t.Errorf("got %+v", a)
			}
		})
	}
	if a := mustFetch(t, http.MethodGet, o.url(), nil); a.Location != target {
		t.Errorf("afterwards: %+v", a)
	}
}

func TestOfferIsForThisUser(t *testing.T) {
	for _, tt := range []struct {
		name string
		peer peer.Func
		want string
	}{
		{"another user", peerIs(os.Getuid() + 54321), "a process of user"},
		{"closed", func(_, _ netip.AddrPort) (int, error) { return 0, peer.ErrNoProcess }, "no process"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := serveOffer(t, tt.peer)
			if a := mustFetch(t, http.MethodGet, o.url(), nil); a.Status != http.StatusNotFound || a.Location != "" {
				t.Errorf("got %+v", a)
			}
			if got := o.lastRefused(); !strings.Contains(got, tt.want) {
				t.Errorf("refused: %q, want %q in it", got, tt.want)
			}
			o.peer = peerIs(os.Getuid())
			if a := mustFetch(t, http.MethodGet, o.url(), nil); a.Location != target {
				t.Errorf("this user afterwards: %+v", a)
			}
		})
	}
}

// notRoot is a user to whom root is another, also where root runs the tests.
const notRoot = 4242

// A browser on the Windows side of WSL has no user here, or root's.
func TestOfferIsForWindows(t *testing.T) {
	for name, who := range map[string]peer.Func{
		"mirrored": func(_, _ netip.AddrPort) (int, error) { return 0, peer.ErrUnknown },
		"relay":    peerIs(peer.Root),
	} {
		o := serveOffer(t, who)
		o.selfUID = notRoot
		if a := mustFetch(t, http.MethodGet, o.url(), nil); a.Location != target {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestFileURL(t *testing.T) {
	for name, want := range map[string]string{
		"/tmp/cscs-open-1/open.html": "file:///tmp/cscs-open-1/open.html",
		"/tmp/a b/#.html":            "file:///tmp/a%20b/%23.html",
		"C:/Users/a/open.html":       "file:///C:/Users/a/open.html",
	} {
		if got := fileURL(name); got != want {
			t.Errorf("fileURL(%q) = %q, want %q", name, got, want)
		}
	}
}
