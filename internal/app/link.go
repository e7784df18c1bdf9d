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

// A PrintedLink is the part of a link after the server's address that lets a browser in, as a server with a
// login of its own prints it when it starts. It is a secret.
type PrintedLink struct {
	Path  string
	Query url.Values
}

var (
	printedURL = regexp.MustCompile(`http://[^\s"'<>` + "`" + `]+`)
	escape     = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]") // colours
	// tokenNames are the parameters in which servers print their token: Jupyter and Livebook (token), marimo
	// (access_token), VS Code (tkn), Pluto (secret). Names such as key and password are also in addresses that are no login.
	// A line of a log of requests: a method before the URL, a version of HTTP behind it, or a Referer.
	loggedRequest = regexp.MustCompile(`(?m)^.*(\b[A-Z]+ http://|\bHTTP/[0-9]|(?i:referr?er)).*$`)
	tokenNames    = []string{"token", "access_token", "auth_token", "tkn", "secret"}
)

// minToken is the length from which on a parameter's value is taken for a secret.
const minToken = 6

// FindPrintedLink gives the first link in what a server has written that leads to its port, under any name
// of its host, with a token. A token that is masked ("...") is none, and a request that the server has logged is
// no link: any user of the node can send one.
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

// isToken reports whether a value may be a token: a masked one has no letter or digit.
func isToken(value string) bool {
	return len(value) >= minToken && strings.ContainsFunc(value, func(c rune) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	})
}

// A NoLoginError tells that a printed link is no way to log in.
type NoLoginError struct {
	Path   string // of the link
	Reason string
}

func (e *NoLoginError) Error() string { return "link to " + e.Path + ": " + e.Reason }

// A PrintedLogin is what lets a browser in by a printed link.
type PrintedLogin struct {
	Cookies    []string // each as in Set-Cookie
	NeedsToken bool     // the cookies alone do not let in: the browser has to take the link itself
}

// Login asks the server at base for the cookies that the link gives a browser, and whether they let in without
// the token. A server that does not refuse who brings no token gets no token: *NoLoginError. The address may
// do anything there, and the token may be good for one request.
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
	case a.status >= http.StatusBadRequest, isRedirect(a.status) && isLoginPath(pathOf(a.header.Get("Location"))):
		return PrintedLogin{}, &NoLoginError{l.Path, "the server refuses the token"}
	}
	return l.tryCookies(ctx, p, base, a.header.Values("Set-Cookie"), public), nil
}

// confirmLoginRequired asks the server without the token. It must refuse its first page, have none, or have a login page
// beside it; and it must refuse the page of the link. public: it shows that page to all, and has a login page (Jupyter
// Server without JupyterLab).
func (l PrintedLink) confirmLoginRequired(ctx context.Context, p *prober, base string) (public bool, err error) {
	first, err := p.checkAccess(ctx, base, "/")
	if err != nil {
		return false, err
	}
	if first == granted {
		if asks, err := p.hasLoginPage(ctx, base, "/"); !asks {
			return false, cmp.Or[error](err, &NoLoginError{l.Path, "the server asks for no login"})
		}
	}
	page, err := p.checkAccess(ctx, base, l.Path)
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

// tryCookies asks the server for the page of the link with its cookies alone, as a browser keeps them. Of a public page
// that proves nothing.
func (l PrintedLink) tryCookies(ctx context.Context, p *prober, base string, given []string, public bool) PrintedLogin {
	page, err := url.Parse(base + l.Path)
	if err != nil || len(given) == 0 {
		return PrintedLogin{NeedsToken: true}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err) // of no options
	}
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
	switch is, err := p.checkAccess(ctx, base, l.Path); {
	case err != nil: // not known: the browser gets both
		return PrintedLogin{lines, true}
	case is != granted:
		return PrintedLogin{NeedsToken: true}
	}
	return PrintedLogin{Cookies: lines}
}

// cookieDir is the path of a cookie that has none, from a page at path.
func cookieDir(path string) string {
	dir := "/" + strings.Trim(path[:strings.LastIndexByte(path, '/')], "/")
	if strings.Contains(dir, ";") { // which ends an attribute
		return "/"
	}
	return dir
}

// String describes the link without its secret.
func (l PrintedLink) String() string { return l.Path }

// GoString is String, for %#v.
func (l PrintedLink) GoString() string { return "app.PrintedLink{" + l.Path + "}" }
