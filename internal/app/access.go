package app

import (
	"context"
	"net/http"
	neturl "net/url"
	"regexp"
)

// An access is whether a server shows a page to a client without further login.
type access int

const (
	granted access = iota // the server shows the page
	denied                // it refuses the page, or shows a login page instead
	absent                // it has no such page
)

// maxRedirects is the number of redirects that are followed to a login page. Jupyter's needs two.
const maxRedirects = 5

var (
	// loginPath matches the paths of login pages: /login (Jupyter), /auth/login (marimo),
	// /authenticate (Livebook), /auth-sign-in (RStudio).
	loginPath = regexp.MustCompile(`(?i)(^|[/._-])(log[-_]?in|sign[-_]?in|auth|authenticate|authentication|authorize|oauth2?|sso)($|[/._-])`)
	// passwordField matches the password field of a login page.
	passwordField = regexp.MustCompile(`(?i)<input\b[^>]*\btype\s*=\s*["']?password`)
)

// probeAccess requests path from the server at base, and follows redirects on that server.
func (p *prober) probeAccess(ctx context.Context, base, path string) (access, error) {
	at, err := neturl.Parse(base + path)
	if err != nil {
		return absent, err
	}
	host := at.Host
	var a answer
	for range maxRedirects {
		if a, err = p.answerOf(ctx, at.String(), "", isMeant); err != nil {
			return absent, err
		}
		to := a.header.Get("Location")
		if !isRedirect(a.status) || to == "" {
			break
		}
		next, err := at.Parse(to)
		if err != nil {
			break
		}
		if isLoginPath(next.Path) {
			return denied, nil
		}
		if next.Scheme != "http" || next.Host != host {
			break
		}
		at = next
	}
	switch {
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden, passwordField.Match(a.body):
		return denied, nil
	case a.status == http.StatusNotFound:
		return absent, nil
	}
	return granted, nil
}

// hasLoginPage reports whether the server at base has a page "login" with a password field below
// dir, which ends with a slash.
func (p *prober) hasLoginPage(ctx context.Context, base, dir string) (bool, error) {
	a, err := p.answerOf(ctx, base+dir+"login", "", isMeant)
	return err == nil && a.status == http.StatusOK && passwordField.Match(a.body), err
}

func isLoginPath(path string) bool { return loginPath.MatchString(path) }
