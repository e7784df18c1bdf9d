package app

import "strings"

// Again returns an app that already runs, from the name, local port, paths and query in a file on
// the cluster. It can be probed and opened in a browser, but not started. Again replaces a value
// that is no valid name, port or path of that server.
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
		a.Probe = probePath(a.Name, a.Path)
	}
	if a.Ready != "" {
		a.awaitReady()
	}
	return a
}
