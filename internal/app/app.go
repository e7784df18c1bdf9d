// Package app knows the servers that cscs runs: how each is started, how it is
// seen to work, and how a browser gets in. An [App] is data; whoever runs it
// quotes its arguments, writes its files and fills its placeholders in.
package app

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An App is one server, ready to be run.
//
// In Argv and in the values of Env, {port} and {dir} stand for the port that
// the server shall listen on and the session's directory on the node. They are
// replaced there, since nobody knows either before. The directory is the
// user's alone (0700).
type App struct {
	Name      string            // what it is called in messages: "jupyter", "tensorboard", "run"
	LocalPort int               // the port to try first on the laptop; 0: any
	Port      int               // the port on the node; 0: a free one, chosen there
	Argv      []string          // the command, not yet quoted for any shell
	Package   string            // the Python package by which Program can be installed; empty: none
	Program   string            // the program of Package that Argv runs in the end
	Env       map[string]string // added to the environment; a value may be empty on purpose
	Unset     []string          // variables of the login environment that must not reach the server
	Reads     []string          // paths on the cluster that the server shows: that one is missing is worth a word
	// Files are written into {dir} before the start, with mode 0600 and
	// nothing added. It is the only way for a secret to the server.
	Files map[string][]byte `json:"-"`
	Base  string            // the path below which the server serves, without a slash at its end; empty: the whole
	Path  string            // what the browser opens, from the slash on
	Ready string            // the path that answers 200 once the server can be used; empty: Probe decides
	Query url.Values        `json:"-"` // the secret part of the link
	// Probe asks the server, at base such as "http://127.0.0.1:8888", whether
	// it answers as it should, and keeps asking until it does, it answers
	// wrongly, or ctx ends. Nil: that it listens is enough.
	Probe func(ctx context.Context, c *http.Client, base string) error `json:"-"`
	// Login asks the server at base for the cookies that let a browser in (each as in
	// Set-Cookie), so that the browser need not see the secret itself. Nil: it hands out none.
	Login func(ctx context.Context, c *http.Client, base string) ([]string, error) `json:"-"`
	Open  bool                                                                     // it is known to have no login: who reaches its port is in
	// OwnLogin tells that the server has a login, which was set up here: the local port need not be guarded.
	OwnLogin bool
	// LastUse asks the server at base when it was last used, by this machine's
	// clock: now if it computes, zero if never. It is for servers whose pages
	// move bytes though nobody touches them. Nil: to move bytes is use.
	LastUse func(ctx context.Context, c *http.Client, base string) (time.Time, error) `json:"-"`
	Use     string                                                                    // what counts as use, for one who should know: "run a cell"; empty: anything
}

// Link returns the address of the app behind base, such as
// "http://127.0.0.1:8888", for everyone's eyes (public), and as the browser
// needs it to get in (secret). They are the same where there is no secret.
func (a App) Link(base string) (public, secret string) {
	public = strings.TrimRight(base, "/") + a.Path
	if len(a.Query) == 0 {
		return public, public
	}
	if strings.Contains(a.Path, "?") {
		return public, public + "&" + a.Query.Encode()
	}
	return public, public + "?" + a.Query.Encode()
}

// String describes the app without its secrets, so that none gets into a log
// by way of %v.
func (a App) String() string { return fmt.Sprintf("%s %q", a.Name, a.Argv) }

// GoString is String, for %#v.
func (a App) GoString() string { return "app.App{" + a.String() + "}" }

const (
	maxPort = 65535
	// minSecret is the length from which on a file's content or a query's
	// value is taken for a secret: "1" is none, and is in every argument.
	minSecret = 16
)

var (
	envName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
)

// Validate tells what makes the app impossible to run, or unsafe: first of all
// a secret that would show in a process's arguments or environment.
func (a App) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s: "+format, append([]any{a.Name}, args...)...)
	}
	switch {
	case a.Name == "":
		return fmt.Errorf("app without a name")
	case !IsName(a.Name):
		return fmt.Errorf("%q is no name for an app: letters, digits, dots, dashes and underscores", a.Name)
	case len(a.Argv) == 0 || a.Argv[0] == "":
		return fail("no command to run")
	case a.Port < 0 || a.Port > maxPort:
		return fail("port %d is not between 1 and %d", a.Port, maxPort)
	case a.LocalPort < 0 || a.LocalPort > maxPort:
		return fail("local port %d is not between 1 and %d", a.LocalPort, maxPort)
	case !strings.HasPrefix(a.Path, "/"):
		return fail("path %q does not begin with a slash", a.Path)
	case !isLocalPath(a.Path):
		return fail("path %q does not stay on the server: one slash at its beginning, no backslash, no control character", a.Path)
	}
	for i, arg := range a.Argv {
		if strings.ContainsRune(arg, 0) {
			return fail("argument %d has a zero byte in it", i)
		}
		if a.secretIn(arg) {
			return fail("argument %d would show a secret to everyone on the node", i)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Env)) {
		switch value := a.Env[name]; {
		case !envName.MatchString(name):
			return fail("%q is no name for an environment variable", name)
		case strings.ContainsRune(value, 0):
			return fail("environment variable %s has a zero byte in it", name)
		case a.secretIn(value):
			return fail("environment variable %s would pass a secret on to every child of the server", name)
		}
	}
	for _, name := range a.Unset {
		if !envName.MatchString(name) {
			return fail("%q is no name for an environment variable", name)
		}
	}
	for name := range a.Files {
		if !fileName.MatchString(name) {
			return fail("%q is no plain file name", name)
		}
	}
	return nil
}

func (a App) secretIn(s string) bool {
	for _, content := range a.Files {
		if content = bytes.TrimSpace(content); len(content) >= minSecret && strings.Contains(s, string(content)) {
			return true
		}
	}
	for _, values := range a.Query {
		for _, v := range values {
			if len(v) >= minSecret && strings.Contains(s, v) {
				return true
			}
		}
	}
	return false
}
