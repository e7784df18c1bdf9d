package waitingroom

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// page.html contains all pages of this package.
//
//go:embed page.html
var pageText string

var pages = template.Must(template.New("page").Parse(pageText))

// nolog discards what would be written to the user's terminal.
var nolog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

// A view is the content of a page.
type view struct {
	Title, Headline string
	Class           string // "failed" or ""
	Lines           []string
	Hint            string
	Steps           []step
	Warning         string
	Log             []string
	Command         string // to be typed in a terminal of this machine
	CommandFor      string // heading of Command
	On              string // link to continue
	Foot            string

	Room, Home  string
	Known, Live bool
}

// A step is one step on the way to the server.
type step struct {
	Name, Detail string
	State        string // done, now, todo, failed
	Since        int64  // Unix time in milliseconds, while the step is under way
	Took         string // duration, once the step is done
}

// Mark returns the symbol of the state.
func (s step) Mark() string {
	return map[string]string{"done": "✓", "now": "●", "todo": "○", "failed": "✕"}[s.State]
}

// Spoken returns the state in words, for screen readers.
func (s step) Spoken() string {
	return map[string]string{"done": "done", "now": "under way", "todo": "still to come", "failed": "failed"}[s.State]
}

// renderMain returns the part of the page that changes.
func (v view) renderMain() string {
	var b strings.Builder
	executeTemplate(&b, "main", v)
	return b.String()
}

func executeTemplate(w io.Writer, name string, v view) {
	if err := pages.ExecuteTemplate(w, name, v); err != nil {
		panic(err) // the template and the view are ours
	}
}

// policy is the Content-Security-Policy. It allows the page's own style and script by their hashes, and nothing
// else.
var policy = func() string {
	var b strings.Builder
	executeTemplate(&b, "page", view{})
	hash := func(tag string) string {
		_, after, _ := strings.Cut(b.String(), "<"+tag+">")
		body, _, _ := strings.Cut(after, "</"+tag+">")
		sum := sha256.Sum256([]byte(body))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; style-src " + hash("style") + "; script-src " + hash("script") +
		"; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// writePage answers with a page and its headers.
func writePage(w http.ResponseWriter, status int, v view) {
	v.Foot = cmp.Or(v.Foot, "A page of cscs, on this machine.")
	var b strings.Builder
	executeTemplate(&b, "page", v)
	setOwnHeaders(w)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, b.String())
}
