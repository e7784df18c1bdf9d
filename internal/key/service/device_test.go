package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDevice: it is asked as often as the provider wants it, until the person has
// answered, or the code is too old.
func TestDevice(t *testing.T) {
	const pending, slow = `400 {"error":"authorization_pending"}`, `400 {"error":"slow_down"}`
	for _, c := range []struct {
		name    string
		answers []string // the last one again and again
		after   time.Duration
		why     SignInReason // empty: a token comes
	}{
		{"at once", []string{`200 {"access_token":"at","token_type":"Bearer"}`}, 2 * time.Second, ""},
		{"later", []string{pending, pending, `200 {"access_token":"at","token_type":"Bearer"}`}, 6 * time.Second, ""},
		{"slower", []string{pending, slow, `200 {"access_token":"at","token_type":"Bearer"}`}, 11 * time.Second, ""},
		{"denied", []string{pending, `400 {"error":"access_denied"}`}, 4 * time.Second, SignInDenied},
		{"expired", []string{`400 {"error":"expired_token"}`}, 2 * time.Second, SignInExpired},
		{"nobody", []string{pending}, 90 * time.Second, SignInExpired},
		{"odd", []string{`400 {"error":"invalid_client","error_description":"no\u001b[2J"}`}, 2 * time.Second, SignInFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var shown []Device
				o := &OIDC{Issuer: "https://auth.example.org", ClientID: "c", Tokens: NoTokens{}, Show: func(d Device) { shown = append(shown, d) }}
				o.HTTP = answering(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					switch r.URL.Path {
					case "/.well-known/openid-configuration":
						_, _ = io.WriteString(w, `{"issuer":"https://auth.example.org","authorization_endpoint":"https://auth.example.org/a",
							"token_endpoint":"https://auth.example.org/t","device_authorization_endpoint":"https://auth.example.org/d"}`)
					case "/d":
						_, _ = io.WriteString(w, `{"device_code":"dc","user_code":"ABCD","verification_uri":"https://auth.example.org/device","expires_in":90,"interval":2}`)
					case "/t":
						if err := r.ParseForm(); err != nil || r.PostForm.Get("device_code") != "dc" || r.PostForm.Get("client_id") != "c" {
							t.Errorf("asked: %v %v", r.PostForm, err)
						}
						status, body, _ := strings.Cut(c.answers[0], " ")
						if len(c.answers) > 1 {
							c.answers = c.answers[1:]
						}
						w.WriteHeader(map[string]int{"200": 200, "400": 400}[status])
						_, _ = io.WriteString(w, body)
					}
				})
				began := time.Now()
				token, cached, err := o.Token(t.Context(), false)
				if d := time.Since(began); d != c.after {
					t.Errorf("after %v, want %v", d, c.after)
				}
				var failed *SignInError
				if c.why == "" && (token != "at" || cached || err != nil) || c.why != "" && (!errors.As(err, &failed) || failed.Why != c.why || strings.Contains(err.Error(), "\x1b")) {
					t.Errorf("%q %v %v", token, cached, err)
				}
				if len(shown) != 1 || shown[0].Code != "ABCD" {
					t.Errorf("shown: %+v", shown)
				}
			})
		})
	}
}

// TestDeviceInterrupted: who stops waiting stops.
func TestDeviceInterrupted(t *testing.T) {
	gone := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	o := &OIDC{Issuer: "https://auth.example.org", Tokens: NoTokens{}, Show: func(Device) { cancel(gone) }}
	o.HTTP = answering(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"issuer":"https://auth.example.org","authorization_endpoint":"https://auth.example.org/a","token_endpoint":"https://auth.example.org/t",
			"device_authorization_endpoint":"https://auth.example.org/d","device_code":"dc","user_code":"ABCD","verification_uri":"https://auth.example.org/device"}`)
	})
	if _, _, err := o.Token(ctx, false); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}
