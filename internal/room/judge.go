package room

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/internal/browser"
)

// Judge implements forward.Room: ours are the navigations of a browser while there is no
// server, and what our own page asks for. All that is a GET of HTTP/1; any other protocol is
// known by its first bytes.
func (r *Room) Judge(began []byte) forward.Verdict {
	if get := []byte("GET "); !bytes.HasPrefix(began, get[:min(len(get), len(began))]) {
		return forward.Yours
	}
	if !bytes.Contains(began, []byte("\r\n\r\n")) {
		return forward.Undecided
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(began)))
	if err != nil {
		return forward.Yours
	}
	r.mu.Lock()
	there := r.there
	r.mu.Unlock()
	if strings.HasPrefix(req.URL.Path, r.own()) || !there && isNavigation(req) {
		return forward.Mine
	}
	return forward.Yours
}

// isNavigation reports whether a person waits for a page: what a script, a program or a
// frame asks for would not know what to do with ours.
func isNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet && hasToken(r.Header.Get("Accept"), "text/html") &&
		(navigates(r) || r.Header.Get("Sec-Fetch-Site") == "" && seemsToNavigate(r)) &&
		r.Header.Get("Upgrade") == "" && !browser.Ahead(r)
}

// navigates: the browser says so (Fetch Metadata).
func navigates(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" &&
		(r.Header.Get("Sec-Fetch-Dest") == "document" || r.Header.Get("Sec-Fetch-Dest") == "")
}

// seemsToNavigate is for browsers that say nothing of that: those of a text terminal, Safari
// before 16.4. To be shown a page is what they want most then; scripts that want HTML say who they are.
func seemsToNavigate(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") == "" && r.Header.Get("Sec-Fetch-Dest") == "" &&
		strings.HasPrefix(strings.TrimSpace(r.Header.Get("Accept")), "text/html") && r.Header.Get("X-Requested-With") == "" && r.Header.Get("Origin") == ""
}
