// Package app knows the servers that cscs runs: how each is started, how it is probed, and how a
// browser gets in. An [App] is data. Its user quotes its arguments, writes its files and replaces
// its placeholders.
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

// An App is one server, ready to be started.
//
// In Argv and in the values of Env, {port} and {dir} stand for the port on which the server should
// listen and for the session's directory on the node. The node replaces them, since both are known
// only there. Only the user can access the directory (0700).
type App struct {
	Name      string            // its name in messages: "jupyter", "tensorboard", "run"
	LocalPort int               // the port to try first on the laptop; 0: any
	Port      int               // the port on the node; 0: the node chooses a free one
	Argv      []string          // the command, without shell quoting
	Package   string            // the Python package that contains Program; empty: none
	Program   string            // the program of Package that Argv runs
	Env       map[string]string // added to the environment; an empty value sets the variable
	Unset     []string          // variables of the login environment that must not reach the server
	Reads     []string          // paths on the cluster that the server shows: a missing one is worth a warning
	// Files are written to {dir} before the start, with mode 0600 and unchanged content. This is
	// the only way to pass a secret to the server.
	Files map[string][]byte `json:"-"`
	Base  string            // the path below which the server serves, without a slash at its end; empty: the root
	Path  string            // what the browser opens; it begins with a slash
	Ready string            // the path that answers 200 once the server is ready; empty: Probe decides
	Query url.Values        `json:"-"` // the secret part of the link
	// Probe asks the server, at base such as "http://127.0.0.1:8888", whether it answers as it
	// should. It repeats the request until it gets a right or a wrong answer, or ctx ends. nil: it
	// is enough that the server listens.
	Probe func(ctx context.Context, c *http.Client, base string) error `json:"-"`
	// Login asks the server at base for the cookies that let a browser in (each as in Set-Cookie),
	// so that the browser need not see the secret. nil: there are no such cookies.
	Login func(ctx context.Context, c *http.Client, base string) ([]string, error) `json:"-"`
	Open  bool                                                                     // it is known to have no login
	// OwnLogin reports that cscs sets up a login of the server, so the local port needs no guard.
	OwnLogin bool
	// LastUse asks the server at base when it was last used, by this machine's clock: now if it
	// computes, zero if never. It is for servers whose pages transfer data without a user. nil:
	// every transfer is use.
	LastUse func(ctx context.Context, c *http.Client, base string) (time.Time, error) `json:"-"`
	Use     string                                                                    // what counts as use, for people: "run a cell"; empty: anything
}

// Link returns the URL of the app at base, such as "http://127.0.0.1:8888": without the secret
// (public), and as a browser needs it to get in (secret). They are equal if there is no secret.
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

// String describes the app without its secrets, so that %v writes none to a log.
func (a App) String() string { return fmt.Sprintf("%s %q", a.Name, a.Argv) }

// GoString does the same as String for %#v.
func (a App) GoString() string { return "app.App{" + a.String() + "}" }

const (
	maxPort = 65535
	// minSecret is the minimum length of a file's content or a query's value that counts as a
	// secret. A shorter value, such as "1", occurs in every argument.
	minSecret = 16
)

var (
	envName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
)

// Validate returns why the app cannot be run, or not securely. In particular, it finds secrets that
// arguments or the environment of a process would show.
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

// secretIn reports whether s contains a secret: the content of a file, or a value of the query.
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
