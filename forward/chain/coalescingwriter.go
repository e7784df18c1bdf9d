package chain

import (
	"io"
	"net"
	"os"
	"runtime"
	"sync"
)

// A coalescingWriter collects what is written, and a goroutine sends all that is pending at once.
//
// x/crypto writes one SSH packet in three pieces. Each would become a packet of the SSH connection
// below, and so on: 27 system calls for one packet of the third hop. A coalescingWriter also
// unblocks a Write at once when the connection is closed. x/crypto's own Write would block on a
// connection that does not respond.
type coalescingWriter struct {
	dst   io.Writer
	ready chan struct{} // holds a token when there may be data to send
	space chan struct{} // holds a token when there may be space again
	ended chan struct{} // closed when nothing is sent any more

	mu      sync.Mutex
	pending []byte // written, and not yet taken for sending
	spare   []byte // the previous pending, for reuse
	last    bool   // the end follows pending
	err     error  // of a send; returned by the next write
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

// run sends until an error, until all is sent after endInput, or until stop is closed.
func (s *coalescingWriter) run(stop <-chan struct{}) {
	defer close(s.ended)
	for {
		select {
		case <-s.ready:
		case <-stop:
			return
		}
		runtime.Gosched() // the writer may have more
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

// write queues p. It blocks while maxPending bytes are unsent, until closed or expired is closed.
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
			// The next appendPending returns the error.
		}
	}
}

// appendPending queues as much of p as has space, and returns how much.
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

// endInput ends the data: what was written is still sent, and nothing after it.
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
