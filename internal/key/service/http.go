// Package service knows the services that certify keys, and how one signs in there.
//
// Secrets go out in bodies and headers over TLS alone, and into nothing that is said of
// an error: an error has the host, what was asked of it and, where the service
// explains itself, its message.
package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswerSize is how much of an answer is read: a list of certificates is some kilobytes.
const maxAnswerSize = 1 << 20

// Times as CSCS's own tool has them.
const (
	connectTimeout = 5 * time.Second
	answerTimeout  = 10 * time.Second
)

// HTTP is how services are spoken to.
type HTTP struct {
	client *http.Client
	agent  string
}

// NewHTTP returns one that tells services that it is agent.
func NewHTTP(agent string) *HTTP {
	return &HTTP{agent: agent, client: &http.Client{
		// A service that sends us elsewhere is not the one that was configured: no secret
		// goes there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: timed{&http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSHandshakeTimeout: connectTimeout,
			ForceAttemptHTTP2:   true,
			DisableKeepAlives:   true, // a command asks two things and ends
		}},
	}}
}

// RoundTrip has oauth2's requests be like ours.
func (h *HTTP) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", h.agent)
	return h.client.Transport.RoundTrip(req)
}

// forOAuth2 is the client for the functions of golang.org/x/oauth2.
func (h *HTTP) forOAuth2() *http.Client {
	c := *h.client
	c.Transport = h
	return &c
}

// A call is one request and what is expected of it.
type call struct {
	op         string // what is asked, in words: "sign a key"
	method     string
	url        string
	header     http.Header
	body       any // as JSON; or url.Values, as a form
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
	for name, values := range c.header {
		req.Header[name] = values
	}
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
	for _, code := range c.okStatuses {
		if resp.StatusCode == code {
			if err := decodeJSON(data, answer); err != nil {
				return &AnswerError{Host: host, Op: c.op, What: describeBadAnswer(resp.Header, err)}
			}
			return nil
		}
	}
	return newStatusError(host, c.op, resp.StatusCode, resp.Header, data)
}

// decodeJSON reads one JSON value. The error has nothing of the data in it: it may be a key.
func decodeJSON(data []byte, to any) error {
	if to == nil {
		return nil
	}
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

// describeBadAnswer says what came instead.
func describeBadAnswer(h http.Header, err error) string {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	if kind != "" && kind != "application/json" {
		return fmt.Sprintf("%v but %s", err, sanitizeText(kind))
	}
	return err.Error()
}

// newStatusError is the error for an answer that is none of the good ones.
func newStatusError(host, op string, status int, h http.Header, data []byte) error {
	message := parseErrorMessage(data)
	switch {
	case status == http.StatusTooManyRequests:
		after, _ := strconv.Atoi(h.Get("Retry-After")) // a date, or nothing, is 0
		return &BusyError{Host: host, Op: op, After: time.Duration(min(max(after, 0), 86400)) * time.Second, Message: message}
	case status >= 500:
		return &DownError{Host: host, Op: op, Err: fmt.Errorf("it answers with status %d", status)}
	case status >= 300 && status < 400:
		return &AnswerError{Host: host, Op: op, What: fmt.Sprintf("it sends us elsewhere (status %d)", status)}
	case status < 300:
		return &AnswerError{Host: host, Op: op, What: fmt.Sprintf("status %d means nothing here", status)}
	case isQuota(message):
		return &QuotaError{Host: host, Message: message}
	}
	return &RefusedError{Host: host, Op: op, Status: status, Message: message}
}

// parseErrorMessage is what a service says of an error: {"message":…} is the current one's,
// {"payload":{"message":…}} the older one's.
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

// sanitizeText is a line of foreign text that is fit for a message.
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

// isQuota recognises, by its words, that a user has had all keys of the day. This is the one
// place where they are looked at: CSCS documents the limit, but neither a status nor a
// code for it.
func isQuota(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "maximum") || strings.Contains(m, "limit") || strings.Contains(m, "quota")
}

// newDownError is the error for a service from which no answer came, or half of one.
func newDownError(ctx context.Context, host, op string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error // it names the address again
	if errors.As(err, &u) {
		err = u.Err
	}
	return &DownError{Host: host, Op: op, Err: err}
}

// errTruncated is why an answer is of no use.
var errTruncated = errors.New("its answer broke off")
