package share

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// The greetings of PROTOCOL.mux: each side's hello with the version, 4, and then the client's
// request number 0 for proxy mode, or the server's consent.
var (
	clientGreeting = []byte("\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x04" + "\x00\x00\x00\x08\x10\x00\x00\x0f\x00\x00\x00\x00")
	serverGreeting = []byte("\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x04" + "\x00\x00\x00\x08\x80\x00\x00\x0f\x00\x00\x00\x00")
)

// A socket is a connection to the other process.
//
// x/crypto's reader writes, too: the answer to the end of a channel. When both processes'
// readers wait for room in a socket that the other does not read meanwhile, they wait for ever. So
// what is written is collected and sent by a goroutine, and only data waits for room. It also makes one
// system call of many messages.
type socket struct {
	*net.UnixConn
	in     *bufio.Reader
	failed atomic.Bool // to read, which ends the connection

	pretended io.Reader // read before all that comes in
	swallow   int       // bytes that are not written

	mu      sync.Mutex
	changed *sync.Cond // any of what follows has
	pending []byte     // written, and not yet taken to be sent
	spare   []byte     // what pending was before, to be used again
	busy    bool       // some of it is being sent
	err     error      // nothing is sent any more
	ended   chan struct{}
}

const (
	maxPending = 256 << 10 // beyond it data waits
	maxBacklog = 16 << 20  // of other messages: the other side has been asleep for very long
)

var errFull = errors.New("the other process does not read")

func newSocket(conn *net.UnixConn) *socket {
	s := &socket{UnixConn: conn, in: bufio.NewReaderSize(conn, 64<<10), ended: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	go s.sendPending() // until Close, which waits for it
	return s
}

// acceptSSH makes the owner's end of an SSH connection. x/crypto knows only the client's side of the
// greeting; after that, both are alike. So the server's greeting is ours, and x/crypto is
// shown one that it likes.
func (s *socket) acceptSSH() (ssh.Conn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	if err := s.SetDeadline(time.Now().Add(stuckTimeout)); err != nil {
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

// Write takes one message, as x/crypto writes them in this framing: its length, a byte of no use,
// its number.
func (s *socket) Write(p []byte) (int, error) {
	if s.swallow > 0 {
		s.swallow -= len(p)
		return len(p), nil
	}
	const data, extendedData = 94, 95 // RFC 4254 §9
	patient := len(p) > 5 && (p[5] == data || p[5] == extendedData)
	s.mu.Lock()
	defer s.mu.Unlock()
	for patient && len(s.pending) > maxPending && s.err == nil {
		s.changed.Wait()
	}
	if s.err == nil && len(s.pending) > maxBacklog {
		s.err = errFull
		_ = s.UnixConn.Close()
	}
	if s.err != nil {
		return 0, s.err
	}
	s.pending = append(s.pending, p...)
	s.changed.Broadcast()
	return len(p), nil
}

// sendPending sends what was written until there is an error, or Close.
func (s *socket) sendPending() {
	defer close(s.ended)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.pending) == 0 && s.err == nil {
			s.changed.Wait()
		}
		if s.err != nil {
			return
		}
		s.mu.Unlock()
		runtime.Gosched() // whoever writes may not be done
		s.mu.Lock()
		taken := s.pending
		s.pending, s.spare, s.busy = s.spare[:0], taken, true
		s.changed.Broadcast()
		s.mu.Unlock()
		_, err := s.UnixConn.Write(taken)
		s.mu.Lock()
		s.busy = false
		if err != nil && s.err == nil {
			s.err = err
			_ = s.UnixConn.Close()
		}
		s.changed.Broadcast()
	}
}

// flush waits until what was written is sent, or never will be.
func (s *socket) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for (len(s.pending) > 0 || s.busy) && s.err == nil {
		s.changed.Wait()
	}
}

// Close throws away what is not yet sent.
func (s *socket) Close() error {
	s.mu.Lock()
	if s.err == nil {
		s.err = net.ErrClosed
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	err := s.UnixConn.Close()
	<-s.ended
	return err
}
