// Package sshtest has SSH servers for tests: internal/sshserver, which is closed when the test ends,
// and OpenSSH's (StartSSHD). Over Pipe the former runs inside a testing/synctest bubble.
package sshtest

import (
	"testing"

	"github.com/alps-tunnel/cscs/internal/sshserver"
)

type (
	// Config is the behaviour of a Server. The zero value accepts no user.
	Config = sshserver.Config
	// A Server is an SSH server that listens on a port of the loopback, or serves connections from
	// its caller.
	Server = sshserver.Server
	// Conn is one end of a Pipe.
	Conn = sshserver.Conn
)

// Pipe returns a connection in memory that can be frozen.
func Pipe() (a, b *Conn) { return sshserver.Pipe() }

// New returns a server that does not listen. Serve serves a connection. The server is closed when
// the test ends.
func New(t testing.TB, config Config) *Server {
	t.Helper()
	s, err := sshserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start returns a server that listens on a free port of 127.0.0.1.
func Start(t testing.TB, config Config) *Server {
	t.Helper()
	s := New(t, config)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	return s
}
