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

	done     atomic.Bool // the handshake is over, and greeting no longer changes
	mu       sync.Mutex
	greeting []byte // the first received bytes

	lateTimer  *time.Timer // nil if answers are not watched
	waiting    bool        // lateTimer runs: there was a write since the last keepalive
	asking     bool        // a keepalive waits for its answer
	firstWrite int64       // the first write since bytes last came in, in nanoseconds since began
}

func newMonitoredConn(conn net.Conn) *monitoredConn {
	return &monitoredConn{Conn: conn, began: time.Now()}
}

func (w *monitoredConn) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.lastHeard.Store(int64(time.Since(w.began)))
		if !w.done.Load() {
			w.keepGreeting(p[:n])
		}
	}
	w.recordError(err)
	return n, err
}

func (w *monitoredConn) Write(p []byte) (int, error) {
	w.noteWrite()
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

// watchAnswers returns a channel that holds a token when a keepalive is due: after one or more
// writes, nothing has come in for answerTimeout. What came in after a write need not be its answer,
// and may have been sent before. So there is one token for each pause in the traffic.
func (w *monitoredConn) watchAnswers() <-chan struct{} {
	late := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lateTimer = time.AfterFunc(w.answerTimeout(), func() { w.checkAnswer(late) })
	w.lateTimer.Stop()
	return late
}

// noteWrite records that bytes are about to go out.
func (w *monitoredConn) noteWrite() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lateTimer == nil || w.asking {
		return
	}
	if w.firstWrite <= w.lastHeard.Load() {
		w.firstWrite = int64(time.Since(w.began))
	}
	if !w.waiting {
		w.waiting = true
		w.lateTimer.Reset(w.answerTimeout())
	}
}

// checkAnswer puts a token into late if nothing has come in for answerTimeout. Otherwise it checks
// again at the next time at which that can be.
func (w *monitoredConn) checkAnswer(late chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	since := time.Duration(max(w.firstWrite, w.lastHeard.Load()))
	left := since + w.answerTimeout() - time.Since(w.began)
	switch {
	case w.asking:
		w.waiting = false
	case left > 0:
		w.lateTimer.Reset(left)
	default:
		w.waiting = false
		trySignal(late)
	}
}

// setAsking records that a keepalive is about to go out (true), or is answered (false), which
// answers all earlier writes. It does not watch the few that follow the keepalive before its answer.
func (w *monitoredConn) setAsking(is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking = is
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
