package app

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const patience = 30 * time.Second

// fakeJupyter answers as Jupyter Server 2 does. It sets a cookie for one who
// comes with the token, and lets in one who brings that.
type fakeJupyter struct {
	token   string
	closed  int           // status for one who is not let in
	unready atomic.Int64  // this many requests are answered with 503 first
	drop    atomic.Int64  // this many connections are cut before that
	wrong   int           // status for all, if not 0
	asked   chan struct{} // gets a value for each request, if not nil
}

func (f *fakeJupyter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.asked != nil {
		select {
		case f.asked <- struct{}{}:
		case <-r.Context().Done():
		}
	}
	if f.drop.Add(-1) >= 0 {
		panic(http.ErrAbortHandler)
	}
	if f.unready.Add(-1) >= 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if f.wrong != 0 {
		w.WriteHeader(f.wrong)
		return
	}
	_, cookie := r.Cookie("login")
	if f.token != "" && r.Header.Get("Authorization") != "token "+f.token && cookie != nil {
		if f.closed == http.StatusFound {
			http.Redirect(w, r, "/login", f.closed)
			return
		}
		w.WriteHeader(f.closed)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "login", Value: "1", Path: "/"})
	_, _ = w.Write([]byte(`{"started": "2026-11-22T11:36:08.602Z"}`))
}

func TestJupyterProbe(t *testing.T) {
	const other = "another token than the session's"
	for _, tt := range []struct {
		name   string
		server func(token string) *fakeJupyter
		want   error
	}{
		{"good", func(token string) *fakeJupyter { return &fakeJupyter{token: token, closed: 403} }, nil},
		{"unauthorized", func(token string) *fakeJupyter { return &fakeJupyter{token: token, closed: 401} }, nil},
		{"to the login page", func(token string) *fakeJupyter { return &fakeJupyter{token: token, closed: 302} }, nil},
		{"slow to start", func(token string) *fakeJupyter {
			f := &fakeJupyter{token: token, closed: 403}
			f.drop.Store(2)
			f.unready.Store(2)
			return f
		}, nil},
		{"open", func(string) *fakeJupyter { return &fakeJupyter{} }, &OpenAccessError{App: "jupyter"}},
		{
			"another token", func(string) *fakeJupyter { return &fakeJupyter{token: other, closed: 403} },
			&TokenRefusedError{App: "jupyter", Status: 403},
		},
		{"something else", func(string) *fakeJupyter { return &fakeJupyter{wrong: 404} }, &ProbeError{App: "jupyter", Status: 404}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := Jupyter(nil, "")
			if err != nil {
				t.Fatal(err)
			}
			f := tt.server(a.Query.Get("token"))
			mux := http.NewServeMux()
			status := strings.TrimSuffix(a.Path, "lab") + "api/status"
			mux.Handle(status, f)
			s := httptest.NewServer(mux)
			defer s.Close()
			c := s.Client()
			// A cookie from one request must not let the next one in.
			if c.Jar, err = cookiejar.New(nil); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for _, base := range []string{s.URL, s.URL + "/"} {
				err = a.Probe(ctx, c, base)
				if diff := cmp.Diff(tt.want, err, cmpopts.IgnoreFields(ProbeError{}, "URL")); diff != "" {
					t.Fatal(diff)
				}
				if err != nil && strings.Contains(err.Error(), a.Query.Get("token")) {
					t.Errorf("the token is in %q", err)
				}
			}
			if c.Jar == nil {
				t.Error("the caller's client was changed")
			}
		})
	}
}

// TestJupyterProbeWarns: what Jupyter would log as a warning, an answer of 4xx, the probe does not cause where
// all is as it should be.
func TestJupyterProbeWarns(t *testing.T) {
	a, err := Jupyter(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	base := strings.TrimSuffix(a.Path, "lab")
	f := &fakeJupyter{token: a.Query.Get("token"), closed: 403}
	mux := http.NewServeMux()
	mux.Handle(base+"api/status", f)
	mux.HandleFunc(base+"files/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, base+"login?next="+r.URL.Path, http.StatusFound)
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, r)
		if rec.Code >= http.StatusBadRequest {
			t.Errorf("%s is answered with %d", r.URL, rec.Code)
		}
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
	}))
	defer s.Close()
	if err := a.Probe(t.Context(), s.Client(), s.URL); err != nil {
		t.Error(err)
	}
}

// TestJupyterProbeAtOnce: the two answers are asked for at the same time.
func TestJupyterProbeAtOnce(t *testing.T) {
	a, err := Jupyter(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	base := strings.TrimSuffix(a.Path, "lab")
	known := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc(base+"api/status", func(http.ResponseWriter, *http.Request) { close(known) })
	mux.HandleFunc(base+"files/", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-known:
		case <-r.Context().Done():
		}
		http.Redirect(w, r, base+"login", http.StatusFound)
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.Probe(ctx, s.Client(), s.URL); err != nil {
		t.Error(err)
	}
}

// A redirect that does not lead to the login page proves nothing.
func TestJupyterProbeRedirected(t *testing.T) {
	a, err := Jupyter(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	base := strings.TrimSuffix(a.Path, "lab")
	mux := http.NewServeMux()
	mux.Handle(base+"api/status", &fakeJupyter{}) // open to all
	mux.Handle(base+"files/", http.RedirectHandler(base+"lab", http.StatusFound))
	s := httptest.NewServer(mux)
	defer s.Close()
	var open *OpenAccessError
	if err := a.Probe(t.Context(), s.Client(), s.URL); !errors.As(err, &open) {
		t.Error(err)
	}
}

// Until the server answers the probe waits; ctx bounds that, and the error
// says what the last of it was.
func TestProbeGivesUpWithContext(t *testing.T) {
	for _, tt := range []struct {
		name   string
		f      *fakeJupyter
		status int
	}{
		{"503", func() *fakeJupyter { f := &fakeJupyter{asked: make(chan struct{})}; f.unready.Store(1 << 40); return f }(), 503},
		{"cut", func() *fakeJupyter { f := &fakeJupyter{asked: make(chan struct{})}; f.drop.Store(1 << 40); return f }(), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(tt.f)
			defer s.Close()
			a, err := TensorBoard("runs", nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := make(chan error, 1)
			go func() { got <- a.Probe(ctx, s.Client(), s.URL) }()
			for range 3 { // it comes back for more
				<-tt.f.asked
			}
			cancel()
			err = <-got
			var pe *ProbeError
			if !errors.As(err, &pe) || !errors.Is(err, context.Canceled) || pe.Status != tt.status {
				t.Errorf("got %v, want a ProbeError of the context's end, with status %d", err, tt.status)
			}
			t.Log(err)
		})
	}
}

func TestTensorBoardProbe(t *testing.T) {
	a, err := TensorBoard("runs", []string{"--path_prefix=/tb"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tb/{$}", func(http.ResponseWriter, *http.Request) {})
	s := httptest.NewServer(mux)
	defer s.Close()
	if err := a.Probe(t.Context(), s.Client(), s.URL); err != nil {
		t.Error(err)
	}
	b, err := TensorBoard("runs", nil)
	if err != nil {
		t.Fatal(err)
	}
	var pe *ProbeError
	if err := b.Probe(t.Context(), s.Client(), s.URL); !errors.As(err, &pe) || pe.Status != http.StatusNotFound {
		t.Errorf("got %v, want a ProbeError with 404", err)
	}
}
