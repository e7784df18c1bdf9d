package app

import (
	"cmp"
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A PrintedLink is the part of a URL after the server's address that lets a browser in. A server
// with a login of its own prints it when it starts. It is a secret.
type PrintedLink struct {
	Path  string
	Query url.Values
}

var (
	printedURL = regexp.MustCompile(`http://[^\s"'<>` + "`" + `]+`)
	escape     = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]") // colours
	// loggedRequest matches a line of a request log: a method before the URL, an HTTP version after
	// it, or a Referer.
	//
	// tokenNames are the parameters in which servers print their token: Jupyter and Livebook
	// (token), marimo (access_token), VS Code (tkn), Pluto (secret). Names such as key and password
	// also occur in URLs that are no login.
	loggedRequest = regexp.MustCompile(`(?m)^.*(\b[A-Z]+ http://|\bHTTP/[0-9]|(?i:referr?er)).*$`)
	tokenNames    = []string{"token", "access_token", "auth_token", "tkn", "secret"}
)

// minToken is the minimum length of a parameter's value that counts as a token.
const minToken = 6

// FindPrintedLink returns the first link with a token in the output of a server that leads to its
// port, under any host name. A masked token ("...") does not count. Nor does a request that the
// server has logged, since any user of the node can send one.
func FindPrintedLink(text string, port int) (PrintedLink, bool) {
	text = loggedRequest.ReplaceAllString(escape.ReplaceAllString(text, ""), "")
	for _, match := range printedURL.FindAllString(text, -1) {
		u, err := url.Parse(strings.TrimRight(match, ".,;:!)]}"))
		if err != nil || u.Port() != strconv.Itoa(port) {
			continue
		}
		link := PrintedLink{Path: u.EscapedPath(), Query: u.Query()}
		if link.Path == "" {
			link.Path = "/"
		}
		if isLocalPath(link.Path) && slices.ContainsFunc(tokenNames, func(name string) bool { return isToken(link.Query.Get(name)) }) {
			return link, true
		}
	}
	return PrintedLink{}, false
}

// isToken reports whether a value may be a token. A masked one has no letter or digit.
func isToken(value string) bool {
	return len(value) >= minToken && strings.ContainsFunc(value, func(c rune) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	})
}

// A NoLoginError reports that a printed link is no login.
type NoLoginError struct {
	Path   string // of the link
	Reason string
}

func (e *NoLoginError) Error() string { return "link to " + e.Path + ": " + e.Reason }

// A PrintedLogin is what a browser needs to get in by a printed link.
type PrintedLogin struct {
	Cookies    []string // each as in Set-Cookie
	NeedsToken bool     // the cookies alone are not enough: the browser has to open the link itself
}

// Login asks the server at base for the cookies that the link gives a browser, and whether they are
// enough without the token. It sends no token to a server that accepts requests without one, and
// returns *NoLoginError. The URL may have any effect there, and the token may be valid only once.
func (l PrintedLink) Login(ctx context.Context, c *http.Client, base string) (PrintedLogin, error) {
	base = strings.TrimRight(base, "/")
	p := newProber("run", c)
	public, err := l.confirmLoginRequired(ctx, p, base)
	if err != nil {
		return PrintedLogin{}, err
	}
	a, err := p.fetchOnce(ctx, base+l.Path+"?"+l.Query.Encode(), "", probeBody)
	switch {
	case err != nil || a.status >= http.StatusInternalServerError:
		return PrintedLogin{NeedsToken: true}, &ProbeError{App: "run", URL: l.Path, Status: a.status, Err: err}
	case a.status >= http.StatusBadRequest, isLoginPath(a.redirectPath()):
		return PrintedLogin{}, &NoLoginError{l.Path, "the server refuses the token"}
	}
	return l.tryCookies(ctx, p, base, a.header.Values("Set-Cookie"), public), nil
}

// confirmLoginRequired sends requests without the token. The server must refuse the link's page. It
// must also refuse its first page, have none, or have a login page next to it. public: the server
// shows the link's page to every client and has a login page (Jupyter Server without JupyterLab).
func (l PrintedLink) confirmLoginRequired(ctx context.Context, p *prober, base string) (public bool, err error) {
	first, err := p.probeAccess(ctx, base, "/")
	if err != nil {
		return false, err
	}
	if first == granted {
		if asks, err := p.hasLoginPage(ctx, base, "/"); !asks {
			return false, cmp.Or[error](err, &NoLoginError{l.Path, "the server asks for no login"})
		}
	}
	page, err := p.probeAccess(ctx, base, l.Path)
	switch {
	case err != nil || page == denied:
		return false, err
	case page == granted && strings.HasSuffix(l.Path, "/"):
		if asks, err := p.hasLoginPage(ctx, base, l.Path); asks || err != nil {
			return asks, err
		}
	}
	return false, &NoLoginError{l.Path, "the server asks for no login there"}
}

// tryCookies requests the link's page with its cookies alone, as a browser keeps them. For a public
// page the answer proves nothing.
func (l PrintedLink) tryCookies(ctx context.Context, p *prober, base string, given []string, public bool) PrintedLogin {
	page, err := url.Parse(base + l.Path)
	if err != nil || len(given) == 0 {
		return PrintedLogin{NeedsToken: true}
	}
	jar, _ := cookiejar.New(nil) // there are no options, so there is no error
	var lines []string
	for _, line := range given {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			continue
		}
		if !strings.HasPrefix(c.Path, "/") { // RFC 6265, section 5.1.4; the browser gets it at another path
			c.Path = cookieDir(page.EscapedPath())
			line += "; Path=" + c.Path
		}
		jar.SetCookies(page, []*http.Cookie{c})
		lines = append(lines, line)
	}
	if public {
		return PrintedLogin{lines, true}
	}
	p.client.Jar = jar
	switch is, err := p.probeAccess(ctx, base, l.Path); {
	case err != nil: // unknown, so the browser gets both
		return PrintedLogin{lines, true}
	case is != granted:
		return PrintedLogin{NeedsToken: true}
	}
	return PrintedLogin{Cookies: lines}
}

// cookieDir returns the default path of a cookie from a page at path (RFC 6265, section 5.1.4).
func cookieDir(path string) string {
	dir := "/" + strings.Trim(path[:strings.LastIndexByte(path, '/')], "/")
	if strings.Contains(dir, ";") { // it would end the attribute
		return "/"
	}
	return dir
}

// String returns the link without its secret.
func (l PrintedLink) String() string { return l.Path }

// GoString does the same as String for %#v.
func (l PrintedLink) GoString() string { return "app.PrintedLink{" + l.Path + "}" }
