// Package app is what is run on the node: how each program is started, probed and
// opened.
package app

import (
	"context"
	"net/http"
	"net/url"
)

// An App is one program to be run, as data: nothing here is quoted for a shell.
type App struct {
	Name      string
	LocalPort int
	Port      int
	Argv      []string
	Env       map[string]string
	Unset     []string
	Files     map[string][]byte
	Path      string
	Query     url.Values
	Probe     func(ctx context.Context, c *http.Client, base string) error
}

// Link returns the URL of the app below base, without and with its secret part.
func (a App) Link(base string) (string, string) { return base + a.Path, base + a.Path + "?" + a.Query.Encode() }
