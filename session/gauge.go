package session

import (
	"slices"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/forward"
)

// A Metrics tells what the local ports of a session carry and how far away its node is, at
// any time, to anybody who looks: it costs nothing over the wire. The session that has it in
// its Config feeds it. Nil is one that nobody looks at.
type Metrics struct {
	mu    sync.Mutex
	ports []*forward.Listener
	past  Snapshot // of the ports that were given back
	dial  int      // of the chain that leads to the node
	rtt   time.Duration
}

// A Snapshot is what a Gauge shows.
type Snapshot struct {
	Open           int64 // connections that are being carried
	Held           int64 // connections that wait for the server
	Received, Sent int64 // bytes, from the server and to it, at all ports so far
	// RTT is how long the last request to the node took that was sent anyway: a connection that
	// was opened, or a keepalive, of which there is one every 10 s where all is silent. 0: there was none yet
	// over this connection. What was answered after an outage does not count.
	RTT time.Duration
}

// Read reads the gauge.
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

// addPort counts a local port in.
func (g *Metrics) addPort(l *forward.Listener) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ports = append(g.ports, l)
}

// removePort keeps of a local port that is given back what it has carried.
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

// longestRTT is beyond what a request takes on any way that works: it has waited for one.
const longestRTT = 5 * time.Second

// recordRTT takes in how long a request to the node took, over the chain of that dial.
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

// resetRTT begins with another chain, of which nothing is known.
func (g *Metrics) resetRTT(dial int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dial, g.rtt = dial, 0
}
