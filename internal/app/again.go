package app

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Again is an app that runs already, as its link and its name tell: enough to look
// whether it answers as it must and to let a browser in, not to start it.
func Again(name string, localPort int, path string, query url.Values) App {
	a := App{Name: name, LocalPort: localPort, Path: path, Query: query}
	if !strings.HasPrefix(path, "/") {
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
