package app

import (
	"fmt"
	"net/http"
)

// A UsageError tells that an argument of the user's for the server cannot be
// taken, and what to do instead.
type UsageError struct {
	App     string // "jupyter"
	Arg     string // the argument as it was given, without its value; empty: one is missing
	Message string // why, and what instead
}

func (e *UsageError) Error() string {
	if e.Arg == "" {
		return fmt.Sprintf("%s: %s", e.App, e.Message)
	}
	return fmt.Sprintf("%s argument %s: %s", e.App, e.Arg, e.Message)
}

// An OpenAccessError tells that a server lets everyone in who can reach its
// port, which on a shared node is everyone. The session must end.
type OpenAccessError struct {
	App string
	URL string // what was answered without a token
}

func (e *OpenAccessError) Error() string {
	return fmt.Sprintf("%s on the node asks for no token: anyone there could use it", e.App)
}

// Hint says where that is likely to come from.
func (e *OpenAccessError) Hint() string {
	return "remove the token and identity provider settings from ~/.jupyter/jupyter_server_config.py and its like on the cluster"
}

// A TokenRefusedError tells that a server does not know the session's token:
// the user's configuration on the cluster sets another, most likely.
type TokenRefusedError struct {
	App    string
	URL    string
	Status int // HTTP
}

func (e *TokenRefusedError) Error() string {
	return fmt.Sprintf("%s on the node refuses this session's token (HTTP %d)", e.App, e.Status)
}

// Hint says where that is likely to come from.
func (e *TokenRefusedError) Hint() string {
	return "remove the token setting (IdentityProvider.token, ServerApp.token) from ~/.jupyter/jupyter_server_config.py and its like on the cluster"
}

// A ProbeError tells that a server did not answer as it should.
type ProbeError struct {
	App    string
	URL    string
	Status int   // HTTP, of the last answer; 0: there was none
	Err    error // why there was none, or why no other was waited for
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
