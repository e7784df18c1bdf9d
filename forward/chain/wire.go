package chain

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A monitoredConn is what one SSH connection runs over, a TCP connection or a channel of
// the hop before, and remembers what it saw pass.
type monitoredConn struct {
	net.Conn
	began      time.Time
	lastHeard  atomic.Int64 // when bytes last came in, in nanoseconds since began
	ioFailed   atomic.Bool  // a read or write has failed, and not because we had closed it
	closedByUs atomic.Bool  // we have closed it

	overNetwork bool         // it is a connection over the network, and no channel
	tripTime    atomic.Int64 // about how long a round trip takes, in nanoseconds

	done       atomic.Bool // the handshake is over; greeting is not kept any more
	mu         sync.Mutex
	greeting   []byte      // the first bytes that came in
	lateTimer  *time.Timer // runs while a write has no answer; nil: that is not watched
	unanswered bool        // since a write nothing has come in
}

func newMonitoredConn(conn net.Conn) *monitoredConn {
	return &monitoredConn{Conn: conn, began: time.Now()}
}

func (w *monitoredConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.lastHeard.Store(int64(time.Since(w.began)))
		w.setUnanswered(false)
		if !w.done.Load() {
			w.keepGreeting(p[:n])
		}
	}
	w.recordError(err)
	return n, err
}

func (w *monitoredConn) Write(p []byte) (int, error) {
	w.setUnanswered(true)
	n, err := w.Conn.Write(p)
	w.recordError(err)
	return n, err
}

func (w *monitoredConn) Close() error {
	w.closedByUs.Store(true)
	return w.Conn.Close()
}

func (w *monitoredConn) recordError(err error) {
	if err != nil && !w.closedByUs.Load() {
		w.ioFailed.Store(true)
	}
}

// answerTimeout is how long an answer may take before it is late.
func (w *monitoredConn) answerTimeout() time.Duration {
	return max(minAnswerTimeout, answerTimeoutTrips*time.Duration(w.tripTime.Load()))
}

// watchAnswers returns a channel that holds a token when a write has had no answer for promptness.
func (w *monitoredConn) watchAnswers() <-chan struct{} {
	late := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lateTimer = time.AfterFunc(w.answerTimeout(), func() { trySignal(late) })
	w.lateTimer.Stop()
	return late
}

// setUnanswered takes in that bytes go out, or have come in.
func (w *monitoredConn) setUnanswered(is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.lateTimer == nil || w.unanswered == is:
		return
	case is:
		w.lateTimer.Reset(w.answerTimeout())
	default:
		w.lateTimer.Stop()
	}
	w.unanswered = is
}

// silentTime is how long nothing has come in.
func (w *monitoredConn) silentTime() time.Duration {
	return time.Since(w.began) - time.Duration(w.lastHeard.Load())
}

// hasFailed reports whether the far side, or the network, has ended it.
func (w *monitoredConn) hasFailed() bool { return w != nil && w.ioFailed.Load() }

func (w *monitoredConn) keepGreeting(p []byte) {
	const enough = 512
	w.mu.Lock()
	defer w.mu.Unlock()
	w.greeting = append(w.greeting, p[:min(len(p), enough-len(w.greeting))]...)
}

func (w *monitoredConn) endGreeting() { w.done.Store(true) }

// nonSSHGreeting is what came in before the line that begins the SSH protocol (RFC 4253
// §4.2), if no such line ever came: a host that is overloaded, that bans us or is no SSH
// server at all says so in plain text.
func (w *monitoredConn) nonSSHGreeting() string {
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	text := string(w.greeting)
	if strings.HasPrefix(text, "SSH-") || strings.Contains(text, "\nSSH-") {
		return ""
	}
	first, _, _ := strings.Cut(sanitizeText(text), "\n")
	return strings.TrimSpace(first)
}

// quickAckConn acknowledges what it reads without delay.
type quickAckConn struct {
	net.Conn
	ack func()
}

func withQuickAck(conn net.Conn) net.Conn {
	if ack := quickAck(conn); ack != nil {
		return &quickAckConn{conn, ack}
	}
	return conn
}

func (c *quickAckConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.ack()
	return n, err
}
