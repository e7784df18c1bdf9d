package app

import (
	"context"
	"net/http"
	"strings"
)

// WithPaths returns the app with open as the browser's page, and ready as the path that answers 200
// once the server is ready. Both are paths below the server's base, with or without a leading
// slash. An empty one leaves the app's path unchanged.
//
// The error is a [*UsageError] if a path does not stay on the server.
func (a App) WithPaths(open, ready string) (App, error) {
	for _, p := range []struct {
		option, path string
		field        *string
	}{{"--path", open, &a.Path}, {"--ready", ready, &a.Ready}} {
		if p.path == "" {
			continue
		}
		path := "/" + strings.TrimPrefix(p.path, "/")
		if !isLocalPath(path) || strings.Contains(p.path, "#") {
			return a, &UsageError{App: a.Name, Arg: p.option, Message: "it must be a path of the server, for example " + p.option + " /health"}
		}
		*p.field = a.Base + path
	}
	if ready != "" {
		a.awaitReady()
	}
	return a, nil
}

// awaitReady extends the app's probe: a.Ready must answer 200 too.
func (a *App) awaitReady() {
	name, path, first := a.Name, a.Ready, a.Probe
	a.Probe = func(ctx context.Context, c *http.Client, at string) error {
		if first != nil {
			if err := first(ctx, c, at); err != nil {
				return err
			}
		}
		_, err := newProber(name, c).answerOf(ctx, strings.TrimRight(at, "/")+path, "", func(code int) bool { return code == http.StatusOK })
		return err
	}
}
