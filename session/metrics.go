package session

import (
	"slices"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/forward"
)

// A Metrics counts what the local ports of a session carry, and has the latency of its node.
// Reading it sends nothing over the network. The session that has it in its Config updates it. All
// updates of a nil *Metrics do nothing.
type Metrics struct {
	mu    sync.Mutex
	ports []*forward.Listener
	past  Snapshot // of the ports that were closed
	dial  int      // the chain that leads to the node
	rtt   time.Duration
}

// A Snapshot is the result of Metrics.Read.
type Snapshot struct {
	Open           int64 // connections that are forwarded
	Held           int64 // connections that wait for the server
	Received, Sent int64 // bytes from and to the server, at all ports so far
	// RTT is the latency of the last request to the node that was sent anyway: an opened
	// connection, or a keepalive, which comes every 10 s on a silent connection. Requests that
	// waited for an outage do not count. 0: there was none yet over this chain.
	RTT time.Duration
}

// Read returns the current counts.
func (g *Metrics) Read() Snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.past
	for _, l := range g.ports {
		s := l.Stats()
		r.Open += s.Open
		r.Held += s.Held
		r.Received += s.Received
		r.Sent += s.Sent
	}
	r.RTT = g.rtt
	return r
}

// addPort adds the counters of a local port.
func (g *Metrics) addPort(l *forward.Listener) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ports = append(g.ports, l)
}

// removePort keeps the byte counts of a local port that is closed, and drops its connection counts.
func (g *Metrics) removePort(l *forward.Listener) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.ports, l)
	if i < 0 {
		return
	}
	g.ports = slices.Delete(g.ports, i, i+1)
	s := l.Stats()
	g.past.Received += s.Received
	g.past.Sent += s.Sent
}

// longestRTT is the largest latency that counts. A request that takes longer has waited for an
// outage.
const longestRTT = 5 * time.Second

// recordRTT records the latency of a request to the node, over the chain with that number.
func (g *Metrics) recordRTT(dial int, d time.Duration) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if dial == g.dial && d <= longestRTT {
		g.rtt = d
	}
}

// resetRTT clears the latency, because another chain is in use.
func (g *Metrics) resetRTT(dial int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dial, g.rtt = dial, 0
}
