package slurm

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Listener is what listens on a port of a node, as the user sees it there.
type Listener struct {
	Verdict string // none, ours, wide, foreign
	Addr    string // the address to forward to, host:port
	Bound   string // the address that it is bound to
	Owner   string // of a foreign one: the user's name or, if the node does not know it, the uid
	Job     string // of the user's own: the job of its process, if known; "" with PortMonitor.Session
}

// Ours reports whether the listener is the user's own.
func (l Listener) Ours() bool { return l.Verdict == "ours" || l.Verdict == "wide" }

// A PortMonitor watches the ports of one node, one of them continuously. Its probes report whose
// socket listens on a port, by the uid that the kernel shows for it (proc(5), /proc/net/tcp). One
// shell on the node serves all ports, because sshd limits the sessions (MaxSessions).
type PortMonitor struct {
	Session string // if the client vanishes, the shell ends with this session's directory; "": when sshd notices

	// Job, Runner and Lease let the shell renew the session's lease in its runner, a process of
	// that node and job. The file on the login node is renewed as well. Unrenewed is called if the
	// runner is not there. Runner 0: nothing is renewed.
	Job       string
	Runner    int
	Lease     time.Duration
	Unrenewed func()

	port  int
	every time.Duration
	wake  chan struct{} // signals sendProbes that there is more to send

	mu     sync.Mutex
	probes map[int]*portProbe // by port
}

// A portProbe counts the probes of one port.
type portProbe struct {
	asked   uint64 // probes that were requested
	sent    uint64 // of these, probes that were sent to the node
	seen    uint64 // the last probe that was answered
	last    Listener
	changed chan struct{} // closed and replaced when seen changes
}

// NewPortMonitor returns a PortMonitor of a node. It checks the port at this interval (whole
// seconds), in addition to the probes that are requested, of this and other ports.
func NewPortMonitor(port int, every time.Duration) *PortMonitor {
	return &PortMonitor{port: port, every: every, wake: make(chan struct{}, 1), probes: map[int]*portProbe{}}
}

// Run lets the node, which remote is, check the ports. It passes what listens on the monitor's port
// to handle, at once and at each change, until ctx or the connection ends or handle returns an
// error. It may run again when it has ended.
func (w *PortMonitor) Run(ctx context.Context, remote Remote, handle func(Listener) error) error {
	v := new(vars)
	v.setValue("cscs_port", strconv.Itoa(w.port))
	v.setValue("cscs_every", formatSeconds(w.every))
	if w.Session != "" {
		v.setID(w.Session)
	}
	v.setValue("cscs_job", w.Job)
	var lease time.Duration // time after which the node takes the client as silent; 0: never
	if w.isLeaseRenewed() {
		lease = w.Lease
	}
	v.setValue("cscs_lease", formatSeconds(lease))
	w.requeueUnanswered()
	c := call{verb: "look", vars: v, handle: func(l line) error {
		switch {
		case l.kind == "unrenewed" && w.Unrenewed != nil:
			w.Unrenewed()
			return nil
		case l.kind != "listener":
			return nil
		}
		now := Listener{
			Verdict: l.get("verdict"),
			Addr:    net.JoinHostPort(l.get("addr"), l.get("port")),
			Bound:   l.get("bound"),
			Owner:   l.get("owner"),
			Job:     l.get("job"),
		}
		if n := l.getInt("look"); n > 0 {
			w.recordAnswer(int(l.getInt("port")), uint64(n), now)
			return nil
		}
		return handle(now)
	}}
	return c.runWithInput(ctx, remote, w.sendProbes)
}

// isLeaseRenewed reports whether Run renews the lease, by a line to the node at intervals.
func (w *PortMonitor) isLeaseRenewed() bool { return w.Runner > 0 && w.Lease > 0 }

// Probe returns what listens on a port, by a check that the node makes after this call. It waits
// for a Run that is running or still to come.
func (w *PortMonitor) Probe(ctx context.Context, port int) (Listener, error) {
	w.mu.Lock()
	g := w.probes[port]
	if g == nil {
		g = &portProbe{changed: make(chan struct{})}
		w.probes[port] = g
	}
	if g.asked == g.sent { // otherwise the next probe to be sent serves this call too
		g.asked++
		w.wakeSender()
	}
	n := g.asked
	w.mu.Unlock()
	for {
		w.mu.Lock()
		seen, last, changed := g.seen, g.last, g.changed
		w.mu.Unlock()
		if seen >= n {
			return last, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Listener{}, context.Cause(ctx)
		}
	}
}

// requeueUnanswered marks the probes that an earlier Run did not get answered as not sent.
func (w *PortMonitor) requeueUnanswered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.probes {
		g.sent = g.seen
	}
	w.wakeSender()
}

func (w *PortMonitor) wakeSender() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// probePause is the time between two probes. A probe costs the node some milliseconds, because the
// kernel walks all its sockets. A page of a hundred connections must not keep a core busy.
const probePause = 8 * time.Millisecond

// sendProbes writes the number and port of each due probe, and renews the lease. Probes of a port
// that are requested within the pause become one.
func (w *PortMonitor) sendProbes(ctx context.Context, feed io.Writer) {
	var renew <-chan time.Time
	if w.isLeaseRenewed() {
		t := time.NewTicker(renewalPeriod(w.Lease))
		defer t.Stop()
		renew = t.C
	}
	for {
		var lines string
		select {
		case <-w.wake:
			lines = w.dueLines()
		case <-renew:
			lines = fmt.Sprintf("renew %d\n", w.Runner)
		case <-ctx.Done():
			return
		}
		if lines == "" {
			continue
		}
		if _, err := io.WriteString(feed, lines); err != nil {
			return
		}
		select {
		case <-time.After(probePause):
		case <-ctx.Done():
			return
		}
	}
}

// dueLines returns the lines of the probes that are due, and counts them as sent.
func (w *PortMonitor) dueLines() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for port, g := range w.probes {
		if g.asked > g.sent {
			g.sent = g.asked
			fmt.Fprintf(&b, "%d %d\n", g.asked, port)
		}
	}
	return b.String()
}

// recordAnswer records the answer to probe n of a port and wakes the callers of Probe.
func (w *PortMonitor) recordAnswer(port int, n uint64, l Listener) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.probes[port]
	if g == nil || n <= g.seen {
		return
	}
	g.seen, g.last = n, l
	close(g.changed)
	g.changed = make(chan struct{})
}
