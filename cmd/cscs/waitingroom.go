package main

import (
	"context"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/browser"
	"github.com/alps-tunnel/cscs/internal/waitingroom"
)

// openRoom makes the session's waiting page, which lasts until the caller calls close. showEvent passes the
// session's events to it.
func (s *start) openRoom(app string, again []string) (close func()) {
	c := waitingroom.Config{ID: s.id, Cluster: s.cluster.Name, App: app, Again: commandAgain(again)}
	for _, h := range s.route.Hosts() {
		c.Hops = append(c.Hops, h.Name)
	}
	s.room = waitingroom.New(c)
	return s.room.Close
}

// browserOpener returns the function that opens the waiting page, and thus the server, in a browser. nil: no
// browser is opened, and the user needs the printed URL.
func (s *start) browserOpener() func(ctx context.Context, link string) error {
	if s.opts.noBrowser || !browser.CanOpen() {
		return nil
	}
	return func(ctx context.Context, _ string) error { return browser.Open(ctx, s.room.Enter) }
}

// commandAgain returns the command line that starts such a session again. It is for a page, so it omits the
// values of --env, which may be secrets.
func commandAgain(args []string) string {
	words := []string{"cscs"}
	env, server := false, false
	for _, a := range args {
		name, value, ok := strings.Cut(strings.TrimPrefix(a, "--env="), "=")
		switch {
		case server: // arguments after -- belong to the server
		case a == "--":
			server = true
		case ok && value != "" && env:
			a = name + "=…"
		case ok && value != "" && strings.HasPrefix(a, "--env="):
			a = "--env=" + name + "=…"
		}
		env = !server && a == "--env"
		words = append(words, a)
	}
	for i, w := range words {
		words[i] = shellescape.Quote(w)
	}
	return strings.Join(words, " ")
}
