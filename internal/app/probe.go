package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// A listening socket accepts connections before its server reads them, so the first request is
	// usually just answered late. The retries are for servers that close early connections.
	probeFirstPause = 50 * time.Millisecond
	probeLastPause  = 300 * time.Millisecond
	// probeTimeout is the timeout of one request. A later answer may be lost with its connection.
	probeTimeout = 20 * time.Second
	// probeBody is how much of an answer is read, so that the connection can be used again.
	probeBody = 64 << 10
)

// probeJupyter checks that the server at base answers, accepts a client with the token, and refuses
// a client without it.
func probeJupyter(ctx context.Context, c *http.Client, base, token string) error {
	const name = "jupyter"
	p := newProber(name, c)
	status := base + "api/status"
	// Both requests run at once: over a long distance each takes two round trips.
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	var known int
	var knownErr error
	asking.Go(func() { known, knownErr = p.askStatus(ctx, status, token) })
	// Jupyter redirects a page request without a login to its login page, and does not log that. If
	// it does not redirect, a request to the API decides. Jupyter logs its refusal as a warning.
	page, err := p.answerOf(ctx, base+"files/.cscs", "", isMeant)
	if err != nil {
		return err
	}
	code := page.status
	if !strings.HasSuffix(page.redirectPath(), "/login") {
		if code, err = p.askStatus(ctx, status, ""); err != nil {
			return err
		}
	}
	switch {
	case code == http.StatusOK:
		return &OpenAccessError{App: name}
	case code == http.StatusUnauthorized, code == http.StatusForbidden, isRedirect(code): // to the login page
	default:
		return &ProbeError{App: name, URL: status, Status: code}
	}
	asking.Wait()
	if code, err = known, knownErr; err != nil {
		return err
	}
	switch {
	case code == http.StatusOK:
		return nil
	case code == http.StatusUnauthorized, code == http.StatusForbidden, isRedirect(code):
		return &TokenRefusedError{App: name, Status: code}
	default:
		return &ProbeError{App: name, URL: status, Status: code}
	}
}

func isRedirect(code int) bool { return code >= 300 && code < 400 }

// probePath returns an [App.Probe] that checks that the server answers path with 200.
func probePath(name, path string) func(context.Context, *http.Client, string) error {
	return func(ctx context.Context, c *http.Client, base string) error {
		url := strings.TrimRight(base, "/") + path
		code, err := newProber(name, c).askStatus(ctx, url, "")
		if err == nil && code != http.StatusOK {
			err = &ProbeError{App: name, URL: url, Status: code}
		}
		return err
	}
}

// errBusy stands for an answer with another status than the expected one.
var errBusy = errors.New("server is not ready")

// A prober sends requests without redirects, and without cookies, which could stand for the token.
type prober struct {
	name   string
	client http.Client
}

func newProber(name string, c *http.Client) *prober {
	p := &prober{name: name, client: *c}
	p.client.Jar = nil
	p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return p
}

// askStatus requests url, with the token if there is one, until the status is final (isMeant).
func (p *prober) askStatus(ctx context.Context, url, token string) (int, error) {
	a, err := p.answerOf(ctx, url, token, isMeant)
	return a.status, err
}

// isMeant reports whether a status is the server's final answer, not a temporary failure.
func isMeant(code int) bool { return code < http.StatusInternalServerError }

// answerOf requests url until good accepts the status, and returns the answer.
func (p *prober) answerOf(ctx context.Context, url, token string, good func(int) bool) (answer, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = probeFirstPause
	pause.MaxInterval = probeLastPause
	var last int  // of the latest answer
	var why error // why there is no good answer
	got, err := backoff.Retry(ctx, func() (answer, error) {
		got, err := p.fetchOnce(ctx, url, token, probeBody)
		if err == nil && good(got.status) {
			return got, nil
		}
		if err == nil {
			last, err = got.status, errBusy
		}
		if ctx.Err() == nil { // otherwise the error is not the server's
			why = err
		}
		return answer{}, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0))
	if err != nil {
		if why != nil && !errors.Is(why, errBusy) {
			err = fmt.Errorf("%w: %w", err, why)
		}
		return answer{}, &ProbeError{App: p.name, URL: url, Status: last, Err: err}
	}
	return got, nil
}

// An answer is the response of a server to one request.
type answer struct {
	status int
	header http.Header
	body   []byte // up to the limit of the request
}

// redirectPath returns the path to which the answer redirects; "" if it redirects to none.
func (a answer) redirectPath() string {
	to, err := neturl.Parse(a.header.Get("Location"))
	if err != nil || !isRedirect(a.status) {
		return ""
	}
	return to.Path
}

// fetchOnce requests url once, with the token if there is one.
func (p *prober) fetchOnce(ctx context.Context, url, token string, limit int64) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, backoff.Permanent(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "token "+token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, cmp.Or(errors.Unwrap(err), err) // of a *url.Error: ProbeError has the URL already
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil && ctx.Err() == nil {
		err = nil // the caller judges what arrived
	}
	return answer{resp.StatusCode, resp.Header, body}, err
}
