package room

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// page is the one file that all of the room's pages are.
//
//go:embed page.html
var pageText string

var pages = template.Must(template.New("page").Parse(pageText))

// nolog is for what would write to the user's terminal.
var nolog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

// A view is what a page shows.
type view struct {
	Title, Headline string
	Class           string // "failed", or nothing
	Lines           []string
	Hint            string
	Steps           []step
	Warning         string
	Log             []string
	Command         string // for a terminal of this machine
	CommandFor      string // what it does, as a heading
	On              string // a link
	Foot            string

	Room, Home  string
	Known, Live bool
}

// A step is one of the way to the server.
type step struct {
	Name, Detail string
	State        string // done, now, todo, failed
	Since        int64  // milliseconds since 1970, while it is under way
	Took         string // when it is done
}

// Mark is how the state looks, and Spoken how it sounds.
func (s step) Mark() string {
	return map[string]string{"done": "✓", "now": "●", "todo": "○", "failed": "✕"}[s.State]
}

// Spoken is the state in words.
func (s step) Spoken() string {
	return map[string]string{"done": "done", "now": "under way", "todo": "still to come", "failed": "failed"}[s.State]
}

// renderMain is the part of the page that changes.
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

// policy lets the page's own style and script work, by their hashes, and nothing else.
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

// writePage answers with a page.
func writePage(w http.ResponseWriter, status int, v view) {
	if v.Foot == "" {
		v.Foot = "A page of cscs, on this machine."
	}
	var b strings.Builder
	executeTemplate(&b, "page", v)
	setOwnHeaders(w)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, b.String())
}
