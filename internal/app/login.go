package app

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
)

// loginJupyter returns the cookies that Jupyter sets for a request with the token, as for a browser
// with the link. Their names contain the requested Host with its port.
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

// openPrograms are well-known servers without a login. For "python3 -m NAME" the name counts.
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
