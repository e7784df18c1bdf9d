package app

import (
	"context"
	"net/http"
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
	// tokenNames are the parameters in which servers print what lets in: Jupyter, marimo, VS Code, Pluto and others.
	tokenNames = []string{"token", "access_token", "auth_token", "tkn", "secret", "password", "auth", "key"}
)

// minToken is the length from which on a parameter's value is taken for a secret.
const minToken = 6

// FindPrintedLink gives the first link in what a server has written that leads to its port, under any name
// of its host, with a token. A token that is masked ("...") is none.
func FindPrintedLink(text string, port int) (PrintedLink, bool) {
	for _, match := range printedURL.FindAllString(escape.ReplaceAllString(text, ""), -1) {
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

// Login asks the server at base for the cookies that the link gives a browser (each as in Set-Cookie); none:
// it gives none, and the browser has to take the link itself.
func (l PrintedLink) Login(ctx context.Context, c *http.Client, base string) ([]string, error) {
	a, err := newProber("run", c).read(ctx, strings.TrimRight(base, "/")+l.Path+"?"+l.Query.Encode(), "", probeBody)
	if err != nil || a.status >= http.StatusBadRequest {
		return nil, &ProbeError{App: "run", URL: l.Path, Status: a.status, Err: err}
	}
	return a.header.Values("Set-Cookie"), nil
}

// String describes the link without its secret.
func (l PrintedLink) String() string { return l.Path }

// GoString is String, for %#v.
func (l PrintedLink) GoString() string { return "app.PrintedLink{" + l.Path + "}" }
