package app

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Again is an app that runs already, as its link and its name tell: enough to look
// whether it answers as it must and to let a browser in, not to start it. They come from a file
// on the cluster: what cannot be a name, a port or a path of that server is replaced.
func Again(name string, localPort int, path string, query url.Values) App {
	a := App{Name: name, LocalPort: localPort, Path: path, Query: query}
	if !IsName(name) {
		a.Name = "run"
	}
	if localPort < 0 || localPort > maxPort {
		a.LocalPort = 0
	}
	if !isLocalPath(path) {
		a.Path = "/"
	}
	switch name {
	case "jupyter":
		base, _, _ := strings.Cut(strings.TrimPrefix(a.Path, "/"), "/")
		token := query.Get("token")
		a.asJupyter("/"+base+"/", token)
	case "tensorboard":
		a.Probe = func(ctx context.Context, c *http.Client, at string) error {
			return probeOK(ctx, c, name, strings.TrimRight(at, "/")+a.Path)
		}
	}
	return a
}
