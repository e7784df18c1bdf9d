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

// The greetings of PROTOCOL.mux. Each side sends a hello with version 4. The client then sends its
// request number 0 for proxy mode, and the server its consent.
var (
	clientGreeting = []byte("\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x04" + "\x00\x00\x00\x08\x10\x00\x00\x0f\x00\x00\x00\x00")
	serverGreeting = []byte("\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x04" + "\x00\x00\x00\x08\x80\x00\x00\x0f\x00\x00\x00\x00")
)

// A socket is the connection to the other process.
//
// x/crypto's reader also writes: it answers the end of a channel. If the readers of both processes
// waited for space in the socket, they would wait forever, since neither reads meanwhile. So a
// goroutine sends what was written, and only data waits for space. It also sends many messages with
// one system call.
type socket struct {
	*net.UnixConn
	in     *bufio.Reader
	failed atomic.Bool // a read has failed, which ends the connection

	pretended io.Reader // returned before the received bytes
	swallow   int       // bytes of the next writes that are dropped

	mu      sync.Mutex
	changed *sync.Cond // signals a change of the fields below
	pending []byte     // written, and not yet taken for sending
	spare   []byte     // the previous pending, for reuse
	busy    bool       // a part is being sent
	err     error      // why nothing is sent any more
	ended   chan struct{}
}

const (
	maxPending = 256 << 10 // data waits above this
	maxBacklog = 16 << 20  // limit for other messages: the other process has been stopped for very long
)

var errFull = errors.New("the other process does not read")

func newSocket(conn *net.UnixConn) *socket {
	s := &socket{UnixConn: conn, in: bufio.NewReaderSize(conn, 64<<10), ended: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	go s.sendPending() // until Close, which waits for it
	return s
}

// acceptSSH returns the sharing process's end of an SSH connection. x/crypto implements only the
// client's side of the greeting; after that, both sides are the same. So acceptSSH sends the
// server's greeting itself, and x/crypto reads one that it expects.
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

// Write takes one message in the form in which x/crypto writes it: its length, an unused byte, its
// number. Data waits above maxPending; other messages do not.
func (s *socket) Write(p []byte) (int, error) {
	if s.swallow > 0 {
		s.swallow -= len(p)
		return len(p), nil
	}
	const data, extendedData = 94, 95 // RFC 4254 §9
	waits := len(p) > 5 && (p[5] == data || p[5] == extendedData)
	s.mu.Lock()
	defer s.mu.Unlock()
	for waits && len(s.pending) > maxPending && s.err == nil {
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

// sendPending sends what was written until an error or Close.
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
		runtime.Gosched() // the writer may have more
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

// flush waits until everything written is sent, or sending has failed.
func (s *socket) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for (len(s.pending) > 0 || s.busy) && s.err == nil {
		s.changed.Wait()
	}
}

// Close closes the connection and discards what is not sent yet.
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
