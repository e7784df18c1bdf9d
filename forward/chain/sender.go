package chain

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync"
)

// A coalescingWriter collects what is written and sends it from a goroutine of its own,
// as much at a time as has come together.
//
// x/crypto writes one SSH packet in three pieces, each of which would become a
// packet of the SSH connection below, and so on down: 27 system calls for a
// packet of the third hop. It also lets go of a Write at once when the
// connection is closed, which x/crypto's own would not on a link that is stuck.
type coalescingWriter struct {
	dst   io.Writer
	ready chan struct{} // holds a token when there may be something to do
	space chan struct{} // and when there may be room again
	ended chan struct{} // closed when nothing is sent any more

	mu      sync.Mutex
	pending []byte // written, and not yet taken to be sent
	spare   []byte // what pending was before, to be used again
	last    bool   // after pending, the end
	err     error  // of sending; it is told to the next Write
}

const (
	maxPending = 64 << 10
	maxPacket  = 32 << 10 // x/crypto's channelMaxPacket
)

func newCoalescingWriter(dst io.Writer) *coalescingWriter {
	return &coalescingWriter{
		dst:   dst,
		ready: make(chan struct{}, 1),
		space: make(chan struct{}, 1),
		ended: make(chan struct{}),
	}
}

// run sends until there is an error, until finish was called and all is sent,
// or until stop is closed.
func (s *coalescingWriter) run(stop <-chan struct{}) {
	defer close(s.ended)
	for {
		select {
		case <-s.ready:
		case <-stop:
			return
		}
		runtime.Gosched() // whoever writes may not be done
		p, last := s.takePending()
		if len(p) > 0 {
			if _, err := s.dst.Write(p); err != nil {
				s.mu.Lock()
				s.err = err
				s.mu.Unlock()
				return
			}
		}
		if last {
			return
		}
	}
}

func (s *coalescingWriter) takePending() (p []byte, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, last = s.pending, s.last
	s.pending, s.spare = s.spare[:0], p
	trySignal(s.space)
	return p, last
}

// write takes p, and waits while there is too much that is not yet sent, until
// closed or expired are.
func (s *coalescingWriter) write(p []byte, closed, expired <-chan struct{}) (n int, err error) {
	for {
		taken, err := s.appendPending(p)
		n, p = n+taken, p[taken:]
		if err != nil || len(p) == 0 {
			return n, err
		}
		select {
		case <-s.space:
		case <-closed:
			return n, net.ErrClosed
		case <-expired:
			return n, os.ErrDeadlineExceeded
		case <-s.ended:
			// Once more round, for the error.
		}
	}
}

func (s *coalescingWriter) appendPending(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, s.err
	case s.last || isClosed(s.ended):
		return 0, net.ErrClosed
	}
	n := min(len(p), maxPending-len(s.pending))
	s.pending = append(s.pending, p[:n]...)
	trySignal(s.ready)
	return n, nil
}

// endInput lets what is written be sent, and nothing after it.
func (s *coalescingWriter) endInput() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = true
	trySignal(s.ready)
}

func trySignal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
