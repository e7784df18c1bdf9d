package app

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
)

// loginJupyter lets a browser in: it asks with the token, as a browser with the link would, and
// gives the cookies that Jupyter hands out for it. Their names have the Host in them that was
// asked, port and all.
func loginJupyter(ctx context.Context, c *http.Client, base, token string) ([]string, error) {
	const name = "jupyter"
	status := base + "api/status"
	a, err := newProber(name, c).fetchOnce(ctx, status, token, probeBody)
	switch {
	case err != nil:
		return nil, &ProbeError{App: name, URL: status, Err: err}
	case a.status != http.StatusOK:
		return nil, &ProbeError{App: name, URL: status, Status: a.status}
	}
	return a.header.Values("Set-Cookie"), nil
}

// openPrograms are well-known servers that have no login: who reaches their port is in. Of
// "python3 -m NAME" the name counts.
var openPrograms = []string{
	"aim", "bokeh", "dask-scheduler", "http.server", "mlflow", "optuna-dashboard", "panel", "streamlit", "tensorboard", "tensorboard.main", "visdom",
}

// isOpen reports whether a command is known to be a server without a login.
func isOpen(argv []string) bool {
	name := path.Base(argv[0])
	if strings.HasPrefix(name, "python") {
		i := slices.Index(argv, "-m")
		if i < 0 || i+1 >= len(argv) {
			return false
		}
		name = argv[i+1]
	}
	return slices.Contains(openPrograms, name)
}
