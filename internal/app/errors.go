package app

import (
	"fmt"
	"net/http"
)

// A UsageError reports an argument for the server that cscs does not accept.
type UsageError struct {
	App     string // "jupyter"
	Arg     string // the argument as given, without its value; empty: one is missing
	Message string // the reason, and what to do instead
}

func (e *UsageError) Error() string {
	if e.Arg == "" {
		return fmt.Sprintf("%s: %s", e.App, e.Message)
	}
	return fmt.Sprintf("%s argument %s: %s", e.App, e.Arg, e.Message)
}

// An OpenAccessError reports that a server accepts every client that can reach its port. On a
// shared node, these are all users. The session must end.
type OpenAccessError struct{ App string }

func (e *OpenAccessError) Error() string {
	return fmt.Sprintf("%s on the node requires no token: anyone there could use it", e.App)
}

// Hint returns the likely fix.
func (e *OpenAccessError) Hint() string {
	return "remove the token and identity provider settings from ~/.jupyter/jupyter_server_config.py and its like on the cluster"
}

// A TokenRefusedError reports that a server does not accept the session's token. Most likely, the
// user's configuration on the cluster sets another one.
type TokenRefusedError struct {
	App    string
	Status int // of HTTP
}

func (e *TokenRefusedError) Error() string {
	return fmt.Sprintf("%s on the node refuses this session's token (HTTP %d)", e.App, e.Status)
}

// Hint returns the likely fix.
func (e *TokenRefusedError) Hint() string {
	return "remove the token setting (IdentityProvider.token, ServerApp.token) from ~/.jupyter/jupyter_server_config.py and its like on the cluster"
}

// A ProbeError reports that a server did not answer as it should.
type ProbeError struct {
	App    string
	URL    string
	Status int   // of HTTP, of the last answer; 0: there was none
	Err    error // why there was no answer, or why the probe ended
}

func (e *ProbeError) Error() string {
	s := e.App + " does not answer as it should"
	if e.Status != 0 {
		s += fmt.Sprintf(": HTTP %d (%s) for %s", e.Status, http.StatusText(e.Status), e.URL)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *ProbeError) Unwrap() error { return e.Err }
