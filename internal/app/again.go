package app

import (
	"context"
	"net/http"
	"strings"
)

// Again returns an app that runs already, of the name, local port, paths and query that a file on the
// cluster tells: enough to see whether it answers as it must and to let a browser in, not to start it.
// What cannot be a name, a port or a path of that server is replaced.
func Again(told App) App {
	a := App{Name: told.Name, LocalPort: told.LocalPort, Path: told.Path, Ready: told.Ready, Query: told.Query}
	if !IsName(a.Name) {
		a.Name = "run"
	}
	if a.LocalPort < 0 || a.LocalPort > maxPort {
		a.LocalPort = 0
	}
	if !isLocalPath(a.Path) {
		a.Path = "/"
	}
	if !isLocalPath(a.Ready) {
		a.Ready = ""
	}
	switch a.Name {
	case "jupyter":
		base, _, _ := strings.Cut(strings.TrimPrefix(a.Path, "/"), "/")
		token := a.Query.Get("token")
		a.asJupyter("/"+base+"/", token)
	case "tensorboard":
		name, path := a.Name, a.Path
		a.Probe = func(ctx context.Context, c *http.Client, at string) error {
			return probeOK(ctx, c, name, strings.TrimRight(at, "/")+path)
		}
	}
	if a.Ready != "" {
		a.awaitReady()
	}
	return a
}
