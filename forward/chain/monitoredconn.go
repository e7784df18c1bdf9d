package chain

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A monitoredConn is the transport of one SSH connection: a TCP connection or a channel of the hop
// before. It records what passes.
type monitoredConn struct {
	net.Conn
	began      time.Time
	lastHeard  atomic.Int64 // when bytes last came in, in nanoseconds since began
	ioFailed   atomic.Bool  // a read or write has failed before closedByUs was set
	closedByUs atomic.Bool  // this process has closed it

	overNetwork bool         // it is a network connection, not a channel
	tripTime    atomic.Int64 // estimate of the round-trip time, in nanoseconds

	done       atomic.Bool // the handshake is over, and greeting no longer changes
	mu         sync.Mutex
	greeting   []byte      // the first received bytes
	lateTimer  *time.Timer // runs while a write has no answer; nil if that is not watched
	unanswered bool        // nothing has come in since a write
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

// answerTimeout returns how long an answer may take before it is late.
func (w *monitoredConn) answerTimeout() time.Duration {
	return max(minAnswerTimeout, answerTimeoutTrips*time.Duration(w.tripTime.Load()))
}

// watchAnswers returns a channel that holds a token when a write has had no answer for
// answerTimeout.
func (w *monitoredConn) watchAnswers() <-chan struct{} {
	late := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lateTimer = time.AfterFunc(w.answerTimeout(), func() { trySignal(late) })
	w.lateTimer.Stop()
	return late
}

// setUnanswered records that bytes go out (true) or have come in (false).
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

// silentTime returns how long nothing has come in.
func (w *monitoredConn) silentTime() time.Duration {
	return time.Since(w.began) - time.Duration(w.lastHeard.Load())
}

// hasFailed reports whether the far side or the network has ended the transport.
func (w *monitoredConn) hasFailed() bool { return w != nil && w.ioFailed.Load() }

func (w *monitoredConn) keepGreeting(p []byte) {
	const enough = 512
	w.mu.Lock()
	defer w.mu.Unlock()
	w.greeting = append(w.greeting, p[:min(len(p), enough-len(w.greeting))]...)
}

func (w *monitoredConn) endGreeting() { w.done.Store(true) }

// nonSSHGreeting returns the first line that came in before the SSH version (RFC 4253, section
// 4.2), if no version came at all. A host that is overloaded, bans this client or is no SSH server
// says so in plain text.
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

// A quickAckConn acknowledges received data without delay.
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
