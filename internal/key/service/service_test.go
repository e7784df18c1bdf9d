package service

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/zalando/go-keyring"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/oauth2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering is an HTTP whose every request is answered by h.
func answering(h http.HandlerFunc) *HTTP {
	c := NewHTTP("cscs/test")
	c.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h(w, r)
		return w.Result(), nil
	})
	return c
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newPublic(t testing.TB) ssh.PublicKey {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// logins gives these tokens, one after the other; the first is of an earlier sign-in.
type logins []string

func (l *logins) Token(_ context.Context, anew bool) (string, bool, error) {
	if anew {
		*l = (*l)[1:]
	}
	return (*l)[0], !anew, nil
}

// TestCurrent: what is asked of the service, and what becomes of its answers.
func TestCurrent(t *testing.T) {
	pub := newPublic(t)
	var got struct {
		PublicKey string `json:"publicKey"`
		Duration  string `json:"duration"`
	}
	c := &Current{Endpoint: "https://keys.example.org/ssh-keys", Login: &logins{"old", "new"}}
	c.HTTP = answering(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Client-Type") != "cli" || r.UserAgent() != "cscs/test" {
			t.Errorf("header %v", r.Header)
		}
		if r.Header.Get("Authorization") != "Bearer new" { // the old one is not taken any more
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.Method + " " + r.URL.Path {
		case "POST /ssh-keys/sign":
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"sshKey":{"publicKey":"a certificate","expireTime":"2026-11-25T10:00:00Z","serialNumber":"18446744073709551615"}}`)
		case "GET /ssh-keys":
			_, _ = io.WriteString(w, `{"sshKeys":[{"serialNumber":"18446744073709551615","expireTime":"2026-11-25T10:00:00Z","revocationTime":null},
				{"serialNumber":7,"expireTime":"2026-11-25T10:00:00Z","revocationTime":"2026-11-24T10:00:00Z"}]}`)
		case "PUT /ssh-keys/revoke":
			_, _ = io.WriteString(w, `{"revoked":false,"message":"it is a certificate of mallory's"}`)
		default:
			t.Errorf("%s %s", r.Method, r.URL)
		}
	})
	cert, private, err := c.Certify(t.Context(), pub)
	if err != nil || string(cert) != "a certificate" || private != nil {
		t.Errorf("Certify: %q %q %v", cert, private, err)
	}
	if got.PublicKey != string(ssh.MarshalAuthorizedKey(pub)) || got.Duration != "1d" {
		t.Errorf("asked: %+v", got)
	}
	c.Minute = true
	if _, _, err := c.Certify(t.Context(), pub); err != nil || got.Duration != "1min" {
		t.Errorf("for a minute: %+v %v", got, err)
	}
	list, err := c.List(t.Context(), true)
	if err != nil || len(list) != 2 || list[0].Serial != "18446744073709551615" || !list[0].Revoked.IsZero() || list[1].Serial != "7" || list[1].Revoked.IsZero() {
		t.Errorf("List: %+v %v", list, err)
	}
	var refused *RefusedError
	if err := c.Revoke(t.Context(), "7"); !errors.As(err, &refused) || !strings.Contains(err.Error(), "mallory's") {
		t.Errorf("Revoke: %v", err)
	}
}

// TestRefusals: what a service may answer, and which error it is.
func TestRefusals(t *testing.T) {
	is := func(e error) func(error) bool {
		return map[string]func(error) bool{
			"down":    func(err error) bool { return errors.As(err, new(*DownError)) },
			"answer":  func(err error) bool { return errors.As(err, new(*AnswerError)) },
			"refused": func(err error) bool { return errors.As(err, new(*RefusedError)) },
			"quota":   func(err error) bool { return errors.As(err, new(*QuotaError)) },
			"busy": func(err error) bool {
				var b *BusyError
				return errors.As(err, &b) && b.After == 7*time.Second
			},
		}[e.Error()]
	}
	for _, c := range []struct {
		status int
		body   string
		want   string
		says   string
	}{
		{400, `{"message":"Invalid public key"}`, "refused", "Invalid public key"},
		{401, `{"payload":{"message":"Invalid OTP"}}`, "refused", "Invalid OTP"},
		{403, "", "refused", "403"},
		{403, `{"message":"a\u001b[31mb\nc"}`, "refused", "a [31mb c"},
		{400, `{"message":"Maximum number of active keys reached"}`, "quota", "Maximum"},
		{429, `{"message":"x"}`, "busy", "too often"},
		{500, `{"message":"limit"}`, "down", "500"},
		{503, "<html>", "down", "503"},
		{302, "", "answer", "redirects"},
		{204, "", "answer", "204"},
		{200, "", "answer", "not JSON"},
		{200, "<html>", "answer", "not JSON"},
		{200, `{"public":7}`, "answer", "number"},
		{200, `{"public":"x"}`, "answer", "no key"},
		{200, `null`, "answer", "no key"},
	} {
		o := &Older{Endpoint: "https://old.example.org/x", Credentials: func(context.Context) (string, []byte, string, error) {
			return "alice", []byte("secret1"), "123456", nil
		}}
		o.HTTP = answering(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if string(body) != `{"otp":"123456","password":"secret1","username":"alice"}` {
				t.Errorf("asked: %s", body)
			}
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Location", "https://elsewhere.example.org/")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		_, _, err := o.Certify(t.Context(), nil)
		if !is(errors.New(c.want))(err) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret1") || strings.Contains(err.Error(), "123456") {
			t.Errorf("%d %s: %T %v, want %s that says %q", c.status, c.body, err, err, c.want, c.says)
		}
	}
}

// TestOlderLooksFirst: what cannot be right is not sent, and passwords do not stay.
func TestOlderLooksFirst(t *testing.T) {
	for _, c := range []struct{ user, otp string }{{"", "123456"}, {"Alice", "123456"}, {"al ice", "123456"}, {"alice", "12345"}, {"alice", "1234567"}, {"alice", "12345x"}} {
		password := []byte(`p"ä' \ $x`)
		o := &Older{Credentials: func(context.Context) (string, []byte, string, error) { return c.user, password, c.otp, nil }}
		o.HTTP = answering(func(http.ResponseWriter, *http.Request) { t.Errorf("%q was sent", c) })
		var bad *InputError
		if _, _, err := o.Certify(t.Context(), nil); !errors.As(err, &bad) {
			t.Errorf("%q: %v", c, err)
		}
		if !bytes.Equal(password, make([]byte, len(password))) {
			t.Errorf("the password is still there: %q", password)
		}
	}
}

// TestRedirect: a service that sends us elsewhere gets no secret there.
func TestRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was followed") }))
	defer elsewhere.Close()
	here := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer here.Close()
	a := &Account{HTTP: NewHTTP("x"), Endpoint: here.URL, Key: "secret"}
	var answer *AnswerError
	if _, _, err := a.Token(t.Context(), false); !errors.As(err, &answer) {
		t.Errorf("%v", err)
	}
}

func TestDiscovered(t *testing.T) {
	const issuer = "https://auth.example.org/realm"
	good := providerMetadata{Issuer: issuer, Auth: issuer + "/auth", Token: issuer + "/token", Device: issuer + "/device"}
	if what := good.findProblem(issuer); what != "" {
		t.Error(what)
	}
	for name, change := range map[string]func(*providerMetadata){
		"another issuer":   func(d *providerMetadata) { d.Issuer = "https://evil.example.org" },
		"http":             func(d *providerMetadata) { d.Token = "http://auth.example.org/token" },
		"no host":          func(d *providerMetadata) { d.Auth = "https:///auth" },
		"no token":         func(d *providerMetadata) { d.Token = "" },
		"a user":           func(d *providerMetadata) { d.Token = "https://me@auth.example.org/" },
		"a file":           func(d *providerMetadata) { d.Auth = "file:///etc/passwd" },
		"no address":       func(d *providerMetadata) { d.Device = "://" },
		"device over http": func(d *providerMetadata) { d.Device = "http://auth.example.org/device" },
	} {
		d := good
		change(&d)
		if d.findProblem(issuer) == "" {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestFileTokens: a token is for its service, issuer and client, and for its user, alone. On a file system that ignores
// case, the services s and S have the same path.
func TestFileTokens(t *testing.T) {
	f := FileTokens{Path: filepath.Join(t.TempDir(), "a", "token.json"), Service: "s"}
	if f.load("i", "c") != nil {
		t.Error("a token from nowhere")
	}
	f.save("i", "c", &oauth2.Token{AccessToken: "at", RefreshToken: "rt", Expiry: time.Now().Add(time.Hour)})
	if tok := f.load("i", "c"); tok == nil || tok.AccessToken != "at" || tok.RefreshToken != "rt" {
		t.Errorf("%+v", tok)
	}
	if f.load("other", "c") != nil || f.load("i", "other") != nil || (FileTokens{Path: f.Path, Service: "S"}).load("i", "c") != nil {
		t.Error("another's token")
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if err := os.Chmod(f.Path, 0o640); err != nil {
		t.Fatal(err)
	}
	if f.load("i", "c") != nil {
		t.Error("one that others could read")
	}
	if _, err := os.Stat(f.Path); err == nil {
		t.Error("it is still there")
	}
	f.forget("i", "c") // is no error
}

// TestKeyringTokens: what is kept is enough to get the rest, and small; a system without a
// keyring does without.
func TestKeyringTokens(t *testing.T) {
	keyring.MockInit()
	k := KeyringTokens{Service: "s"}
	k.save("i", "c", &oauth2.Token{AccessToken: strings.Repeat("a", 4000), RefreshToken: "rt"})
	if text, err := keyring.Get("cscs", "c at i for s"); err != nil || len(text) > 200 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if tok := k.load("i", "c"); tok == nil || tok.RefreshToken != "rt" || tok.AccessToken != "" {
		t.Errorf("%+v", tok)
	}
	if (KeyringTokens{Service: "other"}).load("i", "c") != nil {
		t.Error("another signing service gets the token")
	}
	if k.load("other", "c") != nil || k.load("i", "other") != nil {
		t.Error("another provider or client gets the token")
	}
	k.forget("i", "c")
	if k.load("i", "c") != nil {
		t.Error("it is still there")
	}
	keyring.MockInitWithError(errors.New("no keyring"))
	k.save("i", "c", &oauth2.Token{RefreshToken: "rt"})
	if k.load("i", "c") != nil {
		t.Error("a token from nowhere")
	}
	k.forget("i", "c")
}

// TestBrowserComesBack: only who knows the state is heard, and a no is a no.
func TestBrowserComesBack(t *testing.T) {
	o := &OIDC{HTTP: NewHTTP("x"), Issuer: "https://auth.example.org", ClientID: "c", Redirect: "http://localhost:0", Tokens: NoTokens{}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := &redirectHandler{oidc: o, cfg: &oauth2.Config{}, ctx: ctx, state: "the state", got: make(chan signedIn, 1)}
	for query, code := range map[string]int{
		"":                          400,
		"?code=x":                   400,
		"?code=x&state=":            400,
		"?code=x&state=the+statf":   400,
		"?error=access_denied":      400,
		"?state=the+state+and+more": 400,
	} {
		w := httptest.NewRecorder()
		b.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+query, nil))
		if w.Code != code {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?error=access_denied&state=the+state", nil))
	var denied *SignInError
	if s := <-b.got; !errors.As(s.err, &denied) || denied.Why != SignInDenied || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v, header %v", s.err, w.Header())
	}
}

// FuzzAnswers: no answer of a service, whatever it is, does more than end in an error that
// can be printed.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{"", "null", "{}", "[]", `{"message":"x"}`, `{"payload":{"message":7}}`, `{"payload":null,"message":null}`,
		`{"sshKey":{"publicKey":"x","expireTime":"2026-11-25T10:00:00Z","serialNumber":"1"}}`, `{"sshKey":null}`,
		`{"sshKeys":[{"serialNumber":"1","expireTime":"2026-11-25T10:00:00Z"}]}`, `{"sshKeys":[null]}`, `{"revoked":true,"message":"\u001b[31m"}`,
		`{"public":"x","private":"y"}`, `{"access_token":"x","token_type":"bearer","expires_in":300,"refresh_token":"y"}`, `{"access_token":"a b"}`,
		`{"device_code":"x","user_code":"y","verification_uri":"https://a/","expires_in":1e99,"interval":-1}`,
		`{"error":"access_denied","error_description":"\u202e"}`,
		// A provider and a device's code at once, so that the code is shown.
		`{"issuer":"https://auth.example.org","authorization_endpoint":"https://a/","token_endpoint":"https://b/","device_authorization_endpoint":"https://c/",
			"device_code":"x","user_code":"A\u001b[2J\u202eB","verification_uri":"https://a/","expires_in":90,"interval":1}`,
		`{"issuer":"https://auth.example.org","authorization_endpoint":"https://a/","token_endpoint":"https://b/","device_authorization_endpoint":"https://c/",
			"device_code":"x","user_code":"ABCD","verification_uri":"https://a/","expires_in":90,"interval":1}`,
		`{"issuer":"https://auth.example.org","authorization_endpoint":"https://a/","token_endpoint":"https://b/","device_authorization_endpoint":"https://c/"}`,
	} {
		f.Add(200, []byte(seed))
		f.Add(400, []byte(seed))
	}
	f.Add(429, []byte("x"))
	pub := newPublic(f)
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		if status < 200 || status > 999 {
			status = 200
		}
		h := answering(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write(answer)
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		look := func(err error) {
			if err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
		}
		c := &Current{HTTP: h, Endpoint: "https://keys.example.org", Login: &logins{"a", "b"}}
		_, _, err := c.Certify(ctx, pub)
		look(err)
		c.Login = &logins{"a", "b"}
		_, err = c.List(ctx, true)
		look(err)
		c.Login = &logins{"a", "b"}
		look(c.Revoke(ctx, "1"))
		_, _, err = (&Account{HTTP: h, Endpoint: "https://keys.example.org"}).Token(ctx, false)
		look(err)
		o := &OIDC{HTTP: h, Issuer: "https://auth.example.org", Tokens: NoTokens{}, Show: func(d Device) {
			look(errors.New(d.Address + d.Complete + d.Code))
			cancel() // nobody comes
		}}
		_, _, err = o.Token(ctx, false)
		look(err)
		ctx = context.WithValue(t.Context(), oauth2.HTTPClient, h.forOAuth2())
		_, err = (&oauth2.Config{Endpoint: oauth2.Endpoint{TokenURL: "https://auth.example.org/t"}}).Exchange(ctx, "x")
		if err != nil {
			look(o.translateError(ctx, err))
		}
		if tok := parseToken(answer, "", "", ""); tok != nil && tok.AccessToken != "" && !isValidToken(tok.AccessToken) {
			t.Errorf("a token that cannot go into a header: %q", tok.AccessToken)
		}
	})
}

// TestDeviceAnswers: what there is to sign in with must lead somewhere.
func TestDeviceAnswers(t *testing.T) {
	for _, answer := range []string{"null", "{}", `{"device_code":"x","user_code":"y","verification_uri":"javascript:x"}`,
		`{"device_code":"x","user_code":"y","verification_uri":"https://a/","verification_uri_complete":"file:///x"}`} {
		o := &OIDC{Issuer: "https://auth.example.org", Show: func(d Device) { t.Errorf("shown: %+v", d) }}
		o.HTTP = answering(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseForm(); err != nil || r.PostForm.Get("scope") != "openid" {
				t.Errorf("asked: %v %v", r.PostForm, err)
			}
			_, _ = io.WriteString(w, answer)
		})
		var bad *AnswerError
		_, err := o.byDevice(t.Context(), &oauth2.Config{Endpoint: oauth2.Endpoint{DeviceAuthURL: (&url.URL{Scheme: "https", Host: "a"}).String()}})
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

// TestStoredSignInRefused: without anybody to sign in anew, it is told why that is needed.
func TestStoredSignInRefused(t *testing.T) {
	for name, c := range map[string]struct {
		kept *oauth2.Token
		op   string // that it was refused at
	}{
		"by the service":  {&oauth2.Token{AccessToken: "at", Expiry: time.Now().Add(time.Hour)}, "sign the key"},
		"by the provider": {&oauth2.Token{AccessToken: "at", RefreshToken: "rt", Expiry: time.Now().Add(-time.Hour)}, "sign you in"},
	} {
		t.Run(name, func(t *testing.T) {
			const issuer = "https://login.example.org/r"
			client := answering(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/r/.well-known/openid-configuration":
					_, _ = io.WriteString(w, `{"issuer":"`+issuer+`","authorization_endpoint":"`+issuer+`/a","token_endpoint":"`+issuer+`/t"}`)
				case "/r/t":
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusBadRequest)
					_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"Session not active"}`)
				default:
					w.WriteHeader(http.StatusUnauthorized)
				}
			})
			tokens := FileTokens{Path: filepath.Join(t.TempDir(), "token.json")}
			tokens.save(issuer, "c", c.kept)
			service := &Current{HTTP: client, Endpoint: "https://keys.example.org/k", Login: &OIDC{HTTP: client, Issuer: issuer, ClientID: "c", Redirect: "http://localhost:1", Tokens: tokens}}
			_, _, err := service.Certify(t.Context(), newPublic(t))
			var dropped *SignInError
			var refused *RefusedError
			if !errors.As(err, &dropped) || dropped.Why != SignInDropped || !errors.As(err, &refused) || refused.Op != c.op {
				t.Errorf("%v", err)
			}
			if tokens.load(issuer, "c") != nil {
				t.Error("it is still stored")
			}
		})
	}
}
