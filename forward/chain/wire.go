package chain

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A wire is what one SSH connection runs over, a TCP connection or a channel of
// the hop before, and remembers what it saw pass.
type wire struct {
	net.Conn
	began time.Time
	heard atomic.Int64 // when bytes last came in, in nanoseconds since began
	ended atomic.Bool  // a read or write has failed, and not because we had closed it
	shut  atomic.Bool  // we have closed it

	network bool         // it is a connection over the network, and no channel
	trip    atomic.Int64 // about how long a round trip takes, in nanoseconds

	done       atomic.Bool // the handshake is over; greeting is not kept any more
	mu         sync.Mutex
	greeting   []byte      // the first bytes that came in
	late       *time.Timer // runs while a write has no answer; nil: that is not watched
	unanswered bool        // since a write nothing has come in
}

func newWire(conn net.Conn) *wire { return &wire{Conn: conn, began: time.Now()} }

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.heard.Store(int64(time.Since(w.began)))
		w.setUnanswered(false)
		if !w.done.Load() {
			w.keep(p[:n])
		}
	}
	w.note(err)
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.setUnanswered(true)
	n, err := w.Conn.Write(p)
	w.note(err)
	return n, err
}

func (w *wire) Close() error {
	w.shut.Store(true)
	return w.Conn.Close()
}

func (w *wire) note(err error) {
	if err != nil && !w.shut.Load() {
		w.ended.Store(true)
	}
}

// promptness is how long an answer may take before it is late.
func (w *wire) promptness() time.Duration {
	return max(promptLeast, promptTrips*time.Duration(w.trip.Load()))
}

// watchAnswers returns a channel that holds a token when a write has had no answer for promptness.
func (w *wire) watchAnswers() <-chan struct{} {
	late := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = time.AfterFunc(w.promptness(), func() { signal(late) })
	w.late.Stop()
	return late
}

// setUnanswered takes in that bytes go out, or have come in.
func (w *wire) setUnanswered(is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.late == nil || w.unanswered == is:
		return
	case is:
		w.late.Reset(w.promptness())
	default:
		w.late.Stop()
	}
	w.unanswered = is
}

// silence is how long nothing has come in.
func (w *wire) silence() time.Duration {
	return time.Since(w.began) - time.Duration(w.heard.Load())
}

// failed reports whether the far side, or the network, has ended it.
func (w *wire) failed() bool { return w != nil && w.ended.Load() }

func (w *wire) keep(p []byte) {
	const enough = 512
	w.mu.Lock()
	defer w.mu.Unlock()
	w.greeting = append(w.greeting, p[:min(len(p), enough-len(w.greeting))]...)
}

func (w *wire) greeted() { w.done.Store(true) }

// said is what came in before the line that begins the SSH protocol (RFC 4253
// §4.2), if no such line ever came: a host that is overloaded, that bans us or is no SSH
// server at all says so in plain text.
func (w *wire) said() string {
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	text := string(w.greeting)
	if strings.HasPrefix(text, "SSH-") || strings.Contains(text, "\nSSH-") {
		return ""
	}
	first, _, _ := strings.Cut(printable(text), "\n")
	return strings.TrimSpace(first)
}

// promptConn acknowledges what it reads without delay.
type promptConn struct {
	net.Conn
	ack func()
}

func promptly(conn net.Conn) net.Conn {
	if ack := quickAck(conn); ack != nil {
		return &promptConn{conn, ack}
	}
	return conn
}

func (c *promptConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ack()
	return n, err
}
