package waitingroom

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"unicode"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/internal/browser"
)

// Judge implements forward.Room. Of an unprotected session, the waiting page answers navigations while there is
// no server, and the requests of its own page. All these are GETs of HTTP/1; the first bytes exclude other
// protocols. Of a protected session it answers all HTTP.
func (r *Room) Judge(began []byte) forward.Verdict {
	r.mu.Lock()
	protected := r.protected
	r.mu.Unlock()
	if protected {
		return judgeHTTP(began)
	}
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
	if strings.HasPrefix(req.URL.Path, r.ownPrefix()) || !there && isNavigation(req) {
		return forward.Mine
	}
	return forward.Yours
}

// Diverts implements forward.Room. It reports whether the user typed the address without a path, and the server
// serves below a path. The browser is then redirected to the server's first page, since such a server answers
// "/" with an error. The part of the head that has arrived is enough.
func (r *Room) Diverts(began []byte) bool {
	if !bytes.HasPrefix(began, []byte("GET / HTTP/1.")) {
		return false
	}
	head, _, _ := bytes.Cut(began, []byte("\r\n\r\n"))
	if !bytes.Contains(began, []byte("\r\n\r\n")) {
		head = head[:max(0, bytes.LastIndex(head, []byte("\r\n")))] // without an incomplete line
	}
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("\r\n\r\n"))))
	if err != nil {
		return false
	}
	return r.isMisplaced(req)
}

// isMisplaced reports whether a user typed "/" although the server serves below a path.
func (r *Room) isMisplaced(req *http.Request) bool {
	r.mu.Lock()
	below := r.base != ""
	r.mu.Unlock()
	site := req.Header.Get("Sec-Fetch-Site")
	byHand := site == "none" || site == "" && req.Header.Get("Referer") == ""
	return below && req.RequestURI == "/" && byHand && isNavigation(req)
}

// judgeHTTP tells HTTP/1 from other protocols by the request line (RFC 9112, section 3). The method may be any
// token, since a script may choose it. HTTP/2 without TLS counts as another protocol: no browser uses it.
func judgeHTTP(began []byte) forward.Verdict {
	line, _, whole := bytes.Cut(began, []byte("\n"))
	if whole {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if bytes.HasSuffix(line, []byte(" HTTP/1.1")) || bytes.HasSuffix(line, []byte(" HTTP/1.0")) {
			return forward.Mine
		}
		return forward.Yours
	}
	method, target, _ := bytes.Cut(line, []byte(" "))
	if bytes.ContainsFunc(method, notToken) || bytes.ContainsFunc(target, unicode.IsControl) && !bytes.HasSuffix(target, []byte("\r")) {
		return forward.Yours
	}
	return forward.Undecided
}

// notToken reports whether c may not appear in a method (RFC 9110, section 5.6.2).
func notToken(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
}

// isNavigation reports whether a browser loads a whole page for the user. Scripts, programs and frames cannot
// use the waiting page.
func isNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet && hasToken(r.Header.Get("Accept"), "text/html") &&
		(isDeclaredNavigation(r) || r.Header.Get("Sec-Fetch-Site") == "" && isLikelyNavigation(r)) &&
		r.Header.Get("Upgrade") == "" && !browser.Ahead(r)
}

// isDeclaredNavigation reports whether the browser says so (Fetch Metadata).
func isDeclaredNavigation(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" &&
		(r.Header.Get("Sec-Fetch-Dest") == "document" || r.Header.Get("Sec-Fetch-Dest") == "")
}

// isLikelyNavigation is for browsers without Sec-Fetch headers: text browsers, Safari before 16.4. These have
// text/html first in Accept. Scripts that want HTML identify themselves.
func isLikelyNavigation(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") == "" && r.Header.Get("Sec-Fetch-Dest") == "" &&
		strings.HasPrefix(strings.TrimSpace(r.Header.Get("Accept")), "text/html") && r.Header.Get("X-Requested-With") == "" && r.Header.Get("Origin") == ""
}
