// Package service calls the services that certify keys, and signs the user in there.
//
// Secrets travel in bodies and headers over TLS only, and never into an error. An error has the host,
// the request and the service's own message, if there is one.
package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxAnswerSize, in bytes, limits an answer. A list of certificates has some kilobytes.
const maxAnswerSize = 1 << 20

// The timeouts are those of CSCS's own tool.
const (
	connectTimeout = 5 * time.Second
	answerTimeout  = 10 * time.Second
)

// HTTP makes requests to services.
type HTTP struct {
	client *http.Client
	agent  string
}

// NewHTTP returns an HTTP with agent as its User-Agent.
func NewHTTP(agent string) *HTTP {
	return &HTTP{agent: agent, client: &http.Client{
		// A service that redirects is not the one that was configured. No secret is sent elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: timed{&http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSHandshakeTimeout: connectTimeout,
			ForceAttemptHTTP2:   true,
			DisableKeepAlives:   true, // a command makes two requests and ends
		}},
	}}
}

// RoundTrip implements http.RoundTripper for oauth2, with our User-Agent.
func (h *HTTP) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", h.agent)
	return h.client.Transport.RoundTrip(req)
}

// forOAuth2 returns the client for the functions of golang.org/x/oauth2.
func (h *HTTP) forOAuth2() *http.Client {
	c := *h.client
	c.Transport = h
	return &c
}

// A call is one request and the status codes that mean success.
type call struct {
	op         string // the request, in words: "sign a key"
	method     string
	url        string
	header     http.Header
	body       any // url.Values are sent as a form, all else as JSON
	okStatuses []int
}

// do makes the call and decodes the answer into the value that answer points to.
//
// Errors: *DownError, *AnswerError, *RefusedError, *BusyError, *QuotaError; the cause of
// ctx if that ended.
func (h *HTTP) do(ctx context.Context, c call, answer any) error {
	var body io.Reader
	kind := ""
	switch b := c.body.(type) {
	case nil:
	case url.Values:
		body, kind = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		data, err := json.Marshal(b)
		if err != nil {
			return fmt.Errorf("%s: %w", c.op, err)
		}
		body, kind = bytes.NewReader(data), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, body)
	if err != nil {
		return fmt.Errorf("%s: %w", c.op, err)
	}
	maps.Copy(req.Header, c.header)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", h.agent)
	req.Header.Set("X-Client-Type", "cli")
	host := req.URL.Hostname()
	resp, err := h.client.Do(req)
	if err != nil {
		return newDownError(ctx, host, c.op, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerSize+1))
	switch {
	case err != nil && !errors.Is(err, errAnswerTimeout):
		return newDownError(ctx, host, c.op, errTruncated)
	case err != nil:
		return newDownError(ctx, host, c.op, errAnswerTimeout)
	case len(data) > maxAnswerSize:
		return &AnswerError{Host: host, Op: c.op, What: "it is longer than 1 MiB"}
	}
	if !slices.Contains(c.okStatuses, resp.StatusCode) {
		return newStatusError(host, c.op, resp.StatusCode, resp.Header, data)
	}
	if err := decodeJSON(data, answer); err != nil {
		return &AnswerError{Host: host, Op: c.op, What: describeBadAnswer(resp.Header, err)}
	}
	return nil
}

// decodeJSON decodes one JSON value. The error contains nothing of the data, which may be a key.
func decodeJSON(data []byte, to any) error {
	err := json.Unmarshal(data, to)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &kind):
		return fmt.Errorf("a %s where something else was expected (%s)", kind.Value, kind.Field)
	}
	return errors.New("it is not JSON")
}

// describeBadAnswer says what is wrong with an answer, with its Content-Type if that is not JSON.
func describeBadAnswer(h http.Header, err error) string {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	if kind != "" && kind != "application/json" {
		return fmt.Sprintf("%v but %s", err, sanitizeText(kind))
	}
	return err.Error()
}

// newStatusError returns the error for an answer with an unexpected status.
func newStatusError(host, op string, status int, h http.Header, data []byte) error {
	message := parseErrorMessage(data)
	switch {
	case status == http.StatusTooManyRequests:
		after, _ := strconv.Atoi(h.Get("Retry-After")) // 0 for a date or nothing
		return &BusyError{Host: host, Op: op, After: time.Duration(min(max(after, 0), 86400)) * time.Second}
	case status >= 500:
		return &DownError{Host: host, Op: op, Err: fmt.Errorf("it answers with status %d", status)}
	case status >= 300 && status < 400:
		return &AnswerError{Host: host, Op: op, What: fmt.Sprintf("it redirects (status %d)", status)}
	case status < 300:
		return &AnswerError{Host: host, Op: op, What: fmt.Sprintf("unexpected status %d", status)}
	case isQuota(message):
		return &QuotaError{Host: host, Message: message}
	}
	return &RefusedError{Host: host, Op: op, Status: status, Message: message}
}

// parseErrorMessage returns the message of a service's error: {"message":…} from the current service,
// {"payload":{"message":…}} from the older one.
func parseErrorMessage(data []byte) string {
	var e struct {
		Message json.RawMessage `json:"message"`
		Payload struct {
			Message json.RawMessage `json:"message"`
		} `json:"payload"`
		Description json.RawMessage `json:"error_description"`
	}
	if json.Unmarshal(data, &e) != nil {
		return ""
	}
	for _, raw := range []json.RawMessage{e.Message, e.Payload.Message, e.Description} {
		var s string
		if json.Unmarshal(raw, &s) == nil && s != "" {
			return sanitizeText(s)
		}
	}
	return ""
}

// sanitizeText makes one clean line of at most 300 characters from foreign text.
func sanitizeText(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > 300 {
		s = string(runes[:300]) + "…"
	}
	return s
}

// isQuota recognises by its words that the user has used up the day's keys. CSCS documents the limit,
// but no status or code for it. No other code looks at the words.
func isQuota(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "maximum") || strings.Contains(m, "limit") || strings.Contains(m, "quota")
}

// newDownError returns the error for a service that sent no answer or half of one.
func newDownError(ctx context.Context, host, op string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error // its text repeats the address
	if errors.As(err, &u) {
		err = u.Err
	}
	return &DownError{Host: host, Op: op, Err: err}
}

// errTruncated is the cause of a DownError after half an answer.
var errTruncated = errors.New("its answer broke off")
