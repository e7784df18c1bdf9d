package share

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// What passes over the socket is the SSH connection protocol (RFC 4254), in the framing of
// OpenSSH's control socket in proxy mode, and these global requests of our own.
const (
	joinRequest    = "join@cscs"    // to the owner: may I? With a reply
	movedRequest   = "moved@cscs"   // to the owner: I have another
	silenceRequest = "silence@cscs" // from the owner
	leavingRequest = "leaving@cscs" // from the owner: dial another
	lostRequest    = "lost@cscs"    // from the owner: the last word
)

const protocolVersion = 1

type joinMessage struct{ Version uint32 }

// verdictMessage is why a process was not let in.
type verdictMessage struct{ Verdict string }

const (
	verdictAgain   = "again"   // the place is free, or will be
	verdictAsking  = "asking"  // it may be long until there is a chain
	verdictVersion = "version" // we speak differently
)

type silenceMessage struct {
	Hop    string
	Silent bool
}

type lostMessage struct {
	Hop     string
	Silence uint64 // in nanoseconds
	Reason  string
}

// lostOf is what a sharer is told of the end of the owner's chain.
func lostOf(err error, host string) lostMessage {
	var lost *chain.LostError
	if !errors.As(err, &lost) {
		return lostMessage{Hop: host, Reason: errOwnerEnded.Error()}
	}
	m := lostMessage{Hop: lost.Hop, Silence: uint64(lost.Silence)}
	if lost.Err != nil {
		m.Reason = lost.Err.Error()
	}
	return m
}

func (m lostMessage) err() error {
	return &chain.LostError{Hop: m.Hop, Silence: time.Duration(m.Silence), Err: errors.New(m.Reason)}
}

var errOwnerEnded = errors.New("the session that it was shared with has ended")

// The greetings of PROTOCOL.mux: each side's hello with the version, 4, and then the client's
// request number 0 for proxy mode, or the server's consent.
var (
	clientGreeting = []byte("\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x04" + "\x00\x00\x00\x08\x10\x00\x00\x0f\x00\x00\x00\x00")
	serverGreeting = []byte("\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x04" + "\x00\x00\x00\x08\x80\x00\x00\x0f\x00\x00\x00\x00")
)

// A socket is a connection to the other process; it reads many messages in one go.
type socket struct {
	*net.UnixConn
	in     *bufio.Reader
	failed atomic.Bool // to read, which ends the connection

	pretended io.Reader // read before all that comes in
	swallow   int       // bytes that are not written
}

func newSocket(conn *net.UnixConn) *socket {
	return &socket{UnixConn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

// serve makes the owner's end of an SSH connection. x/crypto knows only the client's side of the
// greeting; after that, both are alike. So the server's greeting is ours, and x/crypto is
// shown one that it likes.
func (s *socket) serve() (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	if err := s.SetDeadline(time.Now().Add(stuck)); err != nil {
		return nil, nil, nil, err
	}
	if _, err := s.UnixConn.Write(serverGreeting); err != nil {
		return nil, nil, nil, err
	}
	greeting := make([]byte, len(clientGreeting))
	if _, err := io.ReadFull(s.in, greeting); err != nil {
		return nil, nil, nil, err
	}
	if !bytes.Equal(greeting, clientGreeting) {
		return nil, nil, nil, fmt.Errorf("greeting %x", greeting)
	}
	if err := s.SetDeadline(time.Time{}); err != nil {
		return nil, nil, nil, err
	}
	s.pretended, s.swallow = bytes.NewReader(serverGreeting), len(clientGreeting)
	return ssh.NewControlClientConn(s)
}

func (s *socket) Read(p []byte) (int, error) {
	if s.pretended != nil {
		if n, err := s.pretended.Read(p); err == nil {
			return n, nil
		}
		s.pretended = nil
	}
	n, err := s.in.Read(p)
	if err != nil {
		s.failed.Store(true)
	}
	return n, err
}

func (s *socket) Write(p []byte) (int, error) {
	if s.swallow > 0 {
		n := min(s.swallow, len(p))
		s.swallow -= n
		if n == len(p) {
			return n, nil
		}
		m, err := s.UnixConn.Write(p[n:])
		return n + m, err
	}
	return s.UnixConn.Write(p)
}
