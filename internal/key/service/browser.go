package service

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/sourcegraph/conc"
	"golang.org/x/oauth2"
)

// signInTimeout is how long a user may take in the browser, for example to find the phone.
const signInTimeout = 5 * time.Minute

// byBrowser opens a browser for the user to sign in. The provider redirects it to our listener with a code.
func (o *OIDC) byBrowser(ctx context.Context, cfg *oauth2.Config) (*oauth2.Token, error) {
	listeners, err := o.listenForRedirect(ctx)
	if err != nil {
		return nil, err
	}
	var work conc.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithTimeout(ctx, signInTimeout)
	defer cancel()
	b := &redirectHandler{oidc: o, cfg: cfg, state: rand.Text(), verifier: oauth2.GenerateVerifier(), got: make(chan signedIn, 1), ctx: ctx}
	server := &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
	for _, l := range listeners {
		work.Go(func() { _ = server.Serve(l) }) // until Shutdown
	}
	defer func() {
		// The browser may still load the page with the result.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close()
		}
	}()
	work.Go(func() { o.Browse(ctx, cfg.AuthCodeURL(b.state, oauth2.S256ChallengeOption(b.verifier))) })
	select {
	case s := <-b.got:
		return s.token, s.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, &SignInError{Host: hostOf(o.Issuer), Why: SignInExpired}
		}
		return nil, context.Cause(ctx)
	}
}

// listenForRedirect listens at the redirect's port on both loopback addresses. A browser may resolve
// "localhost" to either, and a foreign listener on the other would get the code.
func (o *OIDC) listenForRedirect(ctx context.Context) ([]net.Listener, error) {
	u, err := url.Parse(o.Redirect)
	if err != nil {
		return nil, &SignInError{Host: hostOf(o.Issuer), Why: SignInFailed, Err: errors.New("the redirect is no address")}
	}
	var all []net.Listener
	var lc net.ListenConfig
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, u.Port()))
		if err != nil {
			if host == "::1" && !inUse(err) {
				continue // a machine without IPv6
			}
			for _, l := range all {
				_ = l.Close()
			}
			return nil, &SignInError{Host: hostOf(o.Issuer), Why: SignInPort, Err: err}
		}
		all = append(all, l)
	}
	return all, nil
}

// redirectHandler serves the redirect from the provider.
type redirectHandler struct {
	oidc     *OIDC
	cfg      *oauth2.Config
	ctx      context.Context // of the sign-in, which lasts longer than one request
	state    string
	verifier string
	got      chan signedIn
}

type signedIn struct {
	token *oauth2.Token
	err   error
}

// ServeHTTP exchanges the code in the redirect for a token and shows the result as a page.
func (b *redirectHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	q := r.URL.Query()
	// Only the provider knows the state, from the address that the browser was given.
	if r.Method != http.MethodGet || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(b.state)) != 1 {
		http.Error(w, "this is not for you", http.StatusBadRequest)
		return
	}
	var s signedIn
	switch refused := q.Get("error"); {
	case refused == "access_denied":
		s.err = &SignInError{Host: hostOf(b.oidc.Issuer), Why: SignInDenied}
	case refused != "":
		s.err = &SignInError{Host: hostOf(b.oidc.Issuer), Why: SignInFailed, Err: errors.New(sanitizeText(refused + " " + q.Get("error_description")))}
	default:
		token, err := b.cfg.Exchange(b.ctx, q.Get("code"), oauth2.VerifierOption(b.verifier))
		if err != nil {
			err = b.oidc.translateError(b.ctx, err)
		}
		s = signedIn{token, err}
	}
	text := "You are signed in. This tab can be closed; cscs goes on in its terminal."
	if s.err != nil {
		text = "It did not work: the terminal says why."
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if s.err != nil {
		w.WriteHeader(http.StatusBadGateway)
	}
	fmt.Fprintf(w, resultPage, text)
	select {
	case b.got <- s:
	default: // the tab was loaded again
	}
}

// resultPage is for our own texts only, since it escapes nothing.
const resultPage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>cscs</title></head>
<body style="font-family: sans-serif; margin: 4em"><p>%s</p></body></html>
`
