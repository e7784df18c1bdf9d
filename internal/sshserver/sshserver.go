// Package sshserver is a small SSH server inside this process, on x/crypto/ssh. Config makes it as
// strict or as faulty as needed. It runs commands and opens connections by calling Go functions, and
// records the keys that clients show. The embedded cluster (internal/demo) and the tests
// (internal/sshtest) use it.
package sshserver

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Config is the behaviour of a Server. The zero value accepts no user.
type Config struct {
	HostKeys []ssh.Signer // keys or certificates; default: one fresh Ed25519 key

	UserCA  ssh.PublicKey   // accept its certificates, for their principals
	Keys    []ssh.PublicKey // accept these keys
	Anyone  bool            // accept every key
	Banner  string          // sent before authentication
	Account func(user string) error
	// Account, if set, is called after a key was accepted, as sshd calls PAM. If it fails, the server
	// sends the error's text as a banner and closes the connection, as sshd does.

	// SecondFactor, if set, asks its questions after a key was accepted, Interactive without a key
	// (keyboard-interactive, RFC 4256). An error refuses the user.
	SecondFactor, Interactive func(user string, ask ssh.KeyboardInteractiveChallenge) error

	// Entered, if set, is called after each login.
	Entered func(conn ssh.ConnMetadata)

	// Exec runs a command and returns its exit status. If that is negative, the server sends none. Nil
	// refuses sessions.
	Exec func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int

	// Run, if set, replaces Exec. Its context ends when the client closes the channel.
	Run func(ctx context.Context, cmd string, stdin io.Reader, stdout, stderr io.Writer) int

	// Dial opens connections for clients. Nil is net.Dial. The server passes an *ssh.OpenChannelError
	// on; any other error becomes "connect failed".
	Dial func(network, addr string) (net.Conn, error)

	// Request answers global requests, such as keepalives. If it returns without Reply, the client gets
	// no answer. Nil refuses requests, which is an answer too.
	Request func(*ssh.Request)

	MaxAuthTries   int    // as in ssh.ServerConfig
	RekeyThreshold uint64 // in bytes
	Algorithms     []string
}

// A Server is an SSH server that listens on a port of the loopback, or serves connections from its
// caller.
type Server struct {
	config   Config
	ssh      *ssh.ServerConfig
	listener net.Listener
	tasks    sync.WaitGroup

	mu      sync.Mutex
	conns   map[net.Conn]bool
	closed  bool
	offered []ssh.PublicKey
	dialled []string
}

// New returns a server that does not listen. Serve serves a connection.
func New(config Config) (*Server, error) {
	if len(config.HostKeys) == 0 {
		key, err := NewKey()
		if err != nil {
			return nil, err
		}
		config.HostKeys = []ssh.Signer{key}
	}
	if config.Dial == nil {
		config.Dial = net.Dial
	}
	s := &Server{config: config, conns: map[net.Conn]bool{}}
	if exec := config.Exec; config.Run == nil && exec != nil {
		s.config.Run = func(_ context.Context, cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
			return exec(cmd, stdin, stdout, stderr)
		}
	}
	s.ssh = s.serverConfig()
	return s, nil
}

// NewKey returns a new Ed25519 key.
func NewKey() (ssh.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(key)
}

// Listen listens on a free port of 127.0.0.1 and serves its connections.
func (s *Server) Listen() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is done at once
	if err != nil {
		return err
	}
	s.listener = listener
	s.tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.tasks.Go(func() { s.Serve(conn) })
		}
	})
	return nil
}

// serverConfig returns the configuration for x/crypto/ssh.
func (s *Server) serverConfig() *ssh.ServerConfig {
	checker := ssh.CertChecker{
		IsUserAuthority: func(auth ssh.PublicKey) bool {
			return s.config.UserCA != nil && string(auth.Marshal()) == string(s.config.UserCA.Marshal())
		},
		UserKeyFallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			for _, k := range s.config.Keys {
				if string(k.Marshal()) == string(key.Marshal()) {
					return nil, nil
				}
			}
			return nil, errors.New("unknown key")
		},
	}
	config := &ssh.ServerConfig{
		MaxAuthTries: s.config.MaxAuthTries,
		//nolint:gosec // no decision depends on the keys that were offered: they are recorded for tests
		PublicKeyCallback: func(conn ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			s.mu.Lock()
			if !slices.ContainsFunc(s.offered, func(k ssh.PublicKey) bool {
				return string(k.Marshal()) == string(key.Marshal())
			}) {
				s.offered = append(s.offered, key)
			}
			s.mu.Unlock()
			var permissions *ssh.Permissions
			var err error
			if !s.config.Anyone {
				permissions, err = checker.Authenticate(conn, key)
			}
			if err == nil && s.config.SecondFactor != nil {
				return nil, &ssh.PartialSuccessError{Next: ssh.ServerAuthCallbacks{KeyboardInteractiveCallback: interactiveCallback(s.config.SecondFactor)}}
			}
			return permissions, err
		},
	}
	if s.config.Interactive != nil {
		config.KeyboardInteractiveCallback = interactiveCallback(s.config.Interactive)
	}
	if s.config.Account != nil {
		config.VerifiedPublicKeyCallback = func(conn ssh.ConnMetadata, _ ssh.PublicKey, p *ssh.Permissions, _ string) (*ssh.Permissions, error) {
			if err := s.config.Account(conn.User()); err != nil {
				s.hangUp(conn)
				return nil, &ssh.BannerError{Err: err, Message: err.Error() + "\n"}
			}
			return p, nil
		}
	}
	if s.config.Banner != "" {
		config.BannerCallback = func(ssh.ConnMetadata) string { return s.config.Banner }
	}
	config.RekeyThreshold = s.config.RekeyThreshold
	if s.config.Algorithms != nil {
		config.PublicKeyAuthAlgorithms = s.config.Algorithms
	}
	for _, key := range s.config.HostKeys {
		config.AddHostKey(key)
	}
	return config
}

// interactiveCallback adapts questions to the callback type of x/crypto/ssh.
func interactiveCallback(questions func(string, ssh.KeyboardInteractiveChallenge) error) func(ssh.ConnMetadata, ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	return func(conn ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		return nil, questions(conn.User(), ask)
	}
}

// hangUp closes the connection after the time that the banner needs.
func (s *Server) hangUp(conn ssh.ConnMetadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.RemoteAddr() == conn.RemoteAddr() {
			time.AfterFunc(100*time.Millisecond, func() { _ = c.Close() })
		}
	}
}

// Addr returns the server's address, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// HostKey returns the first of the server's host keys.
func (s *Server) HostKey() ssh.PublicKey { return s.config.HostKeys[0].PublicKey() }

// Offered returns the keys that clients have shown, each once.
func (s *Server) Offered() []ssh.PublicKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.offered)
}

// Dialled returns the addresses that clients have asked for, in order.
func (s *Server) Dialled() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dialled)
}

// Conns returns the number of open connections.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Cut closes all connections without an SSH disconnect, as if the host crashed.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		_ = conn.Close()
	}
}

// Close stops the server and waits until all its goroutines have ended.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close()
	}
	s.Cut()
	s.tasks.Wait()
}

// Serve serves one connection until its end.
func (s *Server) Serve(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.conns[conn] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()

	sc, channels, requests, err := ssh.NewServerConn(conn, s.ssh)
	if err != nil {
		return
	}
	if s.config.Entered != nil {
		s.config.Entered(sc)
	}
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer sc.Close()
	tasks.Go(func() {
		for req := range requests {
			if s.config.Request != nil {
				s.config.Request(req)
			} else {
				_ = req.Reply(false, nil)
			}
		}
	})
	for ch := range channels {
		tasks.Go(func() { s.serveChannel(ch) })
	}
}
