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
	Addr    string // to forward to, host:port
	Bound   string // the address that it is bound to
	Owner   string // of a foreign one: the user's name or, if that is not known there, the uid
	Job     string // of one of the user's own: in which its process runs, if the node shows it; a Watch with a Session does not look
}

// Ours reports whether it is the user's own.
func (l Listener) Ours() bool { return l.Verdict == "ours" || l.Verdict == "wide" }

// A PortMonitor is an eye on the ports of one node, and on one of them above all. Its looks
// tell whose socket listens there now, by the uid that the kernel shows for it (proc(5),
// /proc/net/tcp). One shell there serves all ports: sshd bounds how many a connection
// may have (MaxSessions).
type PortMonitor struct {
	Session string // with whose directory the shell ends, if its client vanishes; "": it stays until sshd notices

	// Job, Runner and Lease have the session's lease renewed in its runner, a process of that
	// node and job, beside the file on the login node. Unrenewed is called if the runner is
	// not there. Runner 0: nothing is renewed.
	Job       string
	Runner    int
	Lease     time.Duration
	Unrenewed func()

	port  int
	every time.Duration
	wake  chan struct{} // there is more to be sent

	mu     sync.Mutex
	probes map[int]*portProbe // by port
}

// A portProbe is the looks at one port.
type portProbe struct {
	asked   uint64 // looks that were asked for
	sent    uint64 // of these, those that were asked of the node
	seen    uint64 // the last of them that was answered
	last    Listener
	changed chan struct{} // closed and renewed when that changes
}

// NewPortMonitor returns the watch over a node. It looks at the port by itself every so often
// (whole seconds), beside the looks that are asked for, at this and other ports.
func NewPortMonitor(port int, every time.Duration) *PortMonitor {
	return &PortMonitor{port: port, every: every, wake: make(chan struct{}, 1), probes: map[int]*portProbe{}}
}

// Run has the node, which remote is, look, and hands what it sees at the watch's port to
// handle: at once, and whenever that changes, until ctx or the connection ends or handle
// returns an error. It may be run again when it has ended.
func (w *PortMonitor) Run(ctx context.Context, remote Remote, handle func(Listener) error) error {
	v := new(vars)
	v.setValue("cscs_port", strconv.Itoa(w.port))
	v.setValue("cscs_every", formatSeconds(w.every))
	if w.Session == "" {
		v.setValue("cscs_id", "")
	} else {
		v.setID(w.Session)
	}
	v.setValue("cscs_job", w.Job)
	var lease time.Duration // by which the node takes the client for silent; 0: it does not
	if w.isLeaseRenewed() {
		lease = w.Lease
	}
	v.setValue("cscs_lease", formatSeconds(lease))
	stdin, feed := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	asked := make(chan struct{})
	w.requeueUnanswered()
	go func() {
		defer close(asked)
		defer feed.Close()
		w.sendProbes(ctx, feed)
	}()
	defer func() { cancel(); stdin.Close(); <-asked }()
	c := call{verb: "look", vars: v, stdin: stdin, handle: func(l line) error {
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
	return c.run(ctx, remote)
}

// isLeaseRenewed reports whether the lease is renewed. Then the node hears of the client from time to time.
func (w *PortMonitor) isLeaseRenewed() bool { return w.Runner > 0 && w.Lease > 0 }

// Probe returns what a look at a port shows that was taken after Look was called. It
// waits for a Run that is under way, or to come.
func (w *PortMonitor) Probe(ctx context.Context, port int) (Listener, error) {
	w.mu.Lock()
	g := w.probes[port]
	if g == nil {
		g = &portProbe{changed: make(chan struct{})}
		w.probes[port] = g
	}
	if g.asked == g.sent { // else the next to be sent is early enough for us too
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

// requeueUnanswered has what an earlier Run did not answer asked once more.
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

// probePause lies between two looks. A look costs the node some milliseconds (the kernel
// walks all its sockets for it), and a page of a hundred connections at once need not
// keep a core of it busy.
const probePause = 8 * time.Millisecond

// sendProbes writes the number and port of each look that is to be taken, and renews the lease. Looks
// at a port that are asked for within the pause become one.
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

// dueLines is what is to be written now.
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
