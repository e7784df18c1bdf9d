package demo

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/internal/app"
)

// PageProgram is a program on the demo's nodes: a small page that shows the session's steps. It
// serves machines without Jupyter.
const PageProgram = "cscs-page"

// Page returns the app that runs PageProgram.
func Page() app.App {
	return app.App{Name: "page", LocalPort: 8888, Argv: []string{PageProgram, "{port}"}, Path: "/"}
}

//go:embed page.html
var pageHTML []byte

// journalEnv is the variable that names the file with the session's steps.
const journalEnv = "CSCS_DEMO_JOURNAL"

// servePage runs PageProgram, with the port as its argument.
func servePage(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: %s PORT", PageProgram)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", net.JoinHostPort("127.0.0.1", args[0]))
	if err != nil {
		return err
	}
	s := &http.Server{Handler: newPage(os.Getenv(journalEnv)), ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(l)
}

// A page serves the steps of one session.
type page struct {
	journal string

	mu     sync.Mutex
	opened time.Time // when the first browser requested the page
}

func newPage(journal string) http.Handler {
	p := &page{journal: journal}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.serveHTML)
	mux.HandleFunc("GET /steps", p.serveSteps)
	return onlyHere(mux)
}

// onlyHere refuses requests for another host name. A foreign page may make its name resolve to
// this address (DNS rebinding).
func onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "not at this address", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func (p *page) serveHTML(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.UserAgent(), "Mozilla/") { // all browsers' user agents start so
		p.mu.Lock()
		if p.opened.IsZero() {
			p.opened = time.Now()
		}
		p.mu.Unlock()
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(pageHTML)
}

// pageData is the JSON answer to the page.
type pageData struct {
	Session string    `json:"session"`
	Node    string    `json:"node"`
	Now     time.Time `json:"now"`
	Steps   []step    `json:"steps"`
}

// serveSteps serves the session's steps, and the browser's first request as another one.
func (p *page) serveSteps(w http.ResponseWriter, _ *http.Request) {
	t := pageData{Session: os.Getenv("CSCS_SESSION"), Node: os.Getenv("SLURMD_NODENAME"), Now: time.Now()}
	var err error
	if t.Steps, err = readSteps(p.journal); err != nil {
		http.Error(w, "the session's steps cannot be read", http.StatusInternalServerError)
		return
	}
	p.mu.Lock()
	if !p.opened.IsZero() {
		t.Steps = append(t.Steps, step{p.opened, "laptop", "your browser has asked for this page, through the tunnel"})
	}
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(t)
}

// readSteps reads the steps in a journal. A file that does not exist has none.
func readSteps(file string) ([]step, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	steps := []step{}
	for line := range bytes.Lines(text) {
		var s step
		if json.Unmarshal(line, &s) == nil { // the last line may be incomplete
			steps = append(steps, s)
		}
	}
	return steps, nil
}
