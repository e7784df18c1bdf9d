// Package sshtest is an SSH server within a test: internal/sshserver, which is closed when
// the test ends, and OpenSSH's own (StartSSHD). Over Pipe it runs inside a
// testing/synctest bubble.
package sshtest

import (
	"testing"

	"github.com/alps-tunnel/cscs/internal/sshserver"
)

type (
	// Config is how a Server behaves. The zero value lets nobody in.
	Config = sshserver.Config
	// A Server is an SSH server that listens on a port of the loopback, or serves
	// the connections it is given.
	Server = sshserver.Server
	// Conn is one end of a Pipe.
	Conn = sshserver.Conn
)

// Pipe is a connection in memory, which can be made to freeze.
func Pipe() (a, b *Conn) { return sshserver.Pipe() }

// New returns a server that listens nowhere; Serve gives it connections. It is
// closed when the test ends.
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
