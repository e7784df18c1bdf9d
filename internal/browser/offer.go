package browser

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
)

// An offer is a link that works once. It is a server's handler.
//
// Whoever asks in any other way than a browser of this user's that was given
// the link gets the same answer, 404, and the link stays good. Its path may be
// known: it is in the arguments of xdg-open, for all to see.
type offer struct {
	link string
	host string // our own host:port
	path string
	peer peerFunc
	used chan struct{} // closed when the link has been given

	mu      sync.Mutex
	given   bool
	refused string
}

func newOffer(link, host string, peer peerFunc) *offer {
	return &offer{link: link, host: host, path: "/" + rand.Text(), peer: peer, used: make(chan struct{})}
}

func (o *offer) url() string { return "http://" + o.host + o.path }

// refusal says who was refused last.
func (o *offer) refusal() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refused
}

func (o *offer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Connection", "close")
	if !o.asked(r) || !o.ours(r) || !o.take() {
		http.NotFound(w, r)
		return
	}
	// See Other: with a plain GET, never to be remembered.
	h.Set("Location", o.link)
	w.WriteHeader(http.StatusSeeOther)
	close(o.used)
}

// asked tells whether the request is that of a browser that was sent here.
func (o *offer) asked(r *http.Request) bool {
	if r.Method != http.MethodGet || subtle.ConstantTimeCompare([]byte(r.URL.Path), []byte(o.path)) != 1 {
		return false
	}
	// A page may give its own name our address (DNS rebinding); the browser
	// says that name here then.
	if r.Host != o.host {
		return false
	}
	// What is fetched ahead may never be looked at, and would use up the link.
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := strings.ToLower(r.Header.Get(name)); strings.Contains(v, "prefetch") || strings.Contains(v, "preview") {
			return false
		}
	}
	return true
}

// ours tells whether the process at the other end of the connection is one of
// this user's.
func (o *offer) ours(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	to, err := netip.ParseAddrPort(local.String())
	if err != nil {
		return false
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	uid, err := o.peer(from, to)
	if err == nil && allowed(uid, os.Getuid(), os.Getenv) {
		return true
	}
	who := "a process of user " + strconv.Itoa(uid)
	if err != nil {
		who = fmt.Sprintf("someone (%v)", err)
	} else if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		who = "a process of user " + u.Username
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refused = who
	return false
}

// take uses the link up, and tells whether this was the first to do so.
func (o *offer) take() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.given {
		return false
	}
	o.given = true
	return true
}

// allowed tells whether a process of user uid may have the link of user self.
// Under WSL browsers are on the Windows side and come by way of a relay of
// root's; the Linux side has no users to be told apart there.
func allowed(uid, self int, getenv func(string) string) bool {
	wsl := getenv("WSL_DISTRO_NAME") != "" || getenv("WSL_INTEROP") != ""
	return uid == self || wsl && uid == 0
}
