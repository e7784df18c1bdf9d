package session

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/slurm"
)

const (
	maxDynamicPorts  = 16              // further ports at a time
	dynamicPortGrace = 5 * time.Second // how long a further server may be gone before its local port is closed

	askTimeout = 3 * time.Second // for one HTTP probe
	askTries   = 5               // for a server that sends nothing: it may be busy starting
	askPause   = time.Second     // after the first try; it doubles after each further one
	maxAsking  = 8               // probes at a time
)

// dynamicPorts are the other ports on which the user's processes listen on the node, with
// Launch.ForwardNew. Like all state of the session, only its goroutine accesses them.
type dynamicPorts struct {
	ports  map[int]*dynamicPort
	asking chan struct{}   // a semaphore for the running probes
	told   map[[2]int]bool // the pairs of local and remote port that were reported
	wide   map[int]bool    // the ports open to others that were reported
	full   bool            // that there are too many ports was reported
	none   bool            // that a local port cannot be opened was reported
}

// A dynamicPort is one such port.
type dynamicPort struct {
	port      int
	addrs     map[string]bool // its current sockets, as the runner reported; none: it is closed
	notHTTP   bool            // its server speaks no HTTP
	overLimit bool            // its server speaks HTTP, but too many ports are forwarded
	asked     bool            // the last probe has led to one of these, or to a forward

	listener *forward.Listener // the local port; nil: not forwarded
	addr     string            // the target's address

	generation int                // the number of the current wait; results of earlier ones are ignored
	stop       context.CancelFunc // cancels the current wait for a probe or the grace period
}

// speech is what a server answers to an HTTP request.
type speech int

const (
	speaksNothing speech = iota // nothing so far
	speaksHTTP
	speaksOther
)

// Messages from the goroutines below.
type (
	portProbed struct {
		dynamicPort *dynamicPort
		generation  int
		speech      speech
		seen        slurm.Listener
	}
	graceExpired struct {
		dynamicPort *dynamicPort
		generation  int
	}
	dynamicPortLost struct { // the system has closed the local port
		dynamicPort *dynamicPort
		listener    *forward.Listener
		err         error
	}
)

// handleNewSocket handles a new listening socket of the user on the node.
func (s *session) handleNewSocket(work context.Context, addr string) {
	port := portOf(addr)
	if !s.cfg.Launch.ForwardNew || port == 0 || port == s.server.port || s.cfg.acceptsPort != nil && !s.cfg.acceptsPort(port) {
		return
	}
	p := &s.dynamicPorts
	if p.ports == nil {
		p.ports, p.told, p.wide = map[int]*dynamicPort{}, map[[2]int]bool{}, map[int]bool{}
		p.asking = make(chan struct{}, maxAsking)
	}
	f := p.ports[port]
	if f == nil {
		f = &dynamicPort{port: port, addrs: map[string]bool{}, stop: func() {}}
		p.ports[port] = f
	}
	f.addrs[addr], f.notHTTP, f.overLimit = true, false, false
	s.probePort(work, f)
}

// handleClosedSocket handles a closed socket. Its server may be restarting: the local port stays
// for a moment, and connections wait there.
func (s *session) handleClosedSocket(work context.Context, addr string) {
	f := s.dynamicPorts.ports[portOf(addr)]
	if f == nil {
		return
	}
	delete(f.addrs, addr)
	switch {
	case len(f.addrs) > 0:
		if !f.notHTTP {
			s.probePort(work, f) // the target may have to be another of its sockets
		}
	case f.listener == nil:
		f.cancelWait()
		delete(s.dynamicPorts.ports, f.port)
	default:
		ctx := f.startWait(work)
		f.listener.SetTarget(nil)
		generation := f.generation
		s.work.Go(func() {
			timer := time.NewTimer(dynamicPortGrace)
			defer timer.Stop()
			select {
			case <-timer.C:
				_ = s.sendMessage(ctx, graceExpired{f, generation})
			case <-ctx.Done():
			}
		})
	}
}

// handleGraceExpired closes the local port of a server that has not come back.
func (s *session) handleGraceExpired(work context.Context, m graceExpired) {
	if m.generation != m.dynamicPort.generation {
		return
	}
	delete(s.dynamicPorts.ports, m.dynamicPort.port)
	s.giveBack(work, m.dynamicPort)
}

// probePort finds out whether the port's listener is the user's and speaks HTTP, as soon as the
// session is ready and the node is reached. A Jupyter kernel opens five ports that speak no HTTP
// and interest no user.
func (s *session) probePort(work context.Context, f *dynamicPort) {
	ctx := f.startWait(work)
	f.asked = false
	if !s.server.ready || s.node.chain == nil {
		return
	}
	generation, dialer, asking := f.generation, s.newNodeDialer(), s.dynamicPorts.asking
	s.work.Go(func() {
		pause := askPause
		for try := 1; ; try++ {
			select {
			case asking <- struct{}{}:
			case <-ctx.Done():
				return
			}
			spoken, seen := dialer.probeHTTP(ctx, f.port)
			<-asking
			if spoken != speaksNothing || try == askTries {
				_ = s.sendMessage(ctx, portProbed{f, generation, spoken, seen})
				return
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			pause *= 2
		}
	})
}

// probeHTTP probes the port and requests the server's first page. It sends no byte to a listener
// that is not the user's (invariant I5).
func (g nodeDialer) probeHTTP(ctx context.Context, port int) (speech, slurm.Listener) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	seen, err := g.portMonitor.Probe(ctx, port)
	switch {
	case err != nil:
		return speaksNothing, seen
	case !seen.Ours():
		return speaksOther, seen
	}
	conn, err := g.newTarget(port, seen.Addr)(ctx)
	if err != nil {
		return speaksNothing, seen
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	// Servers that check Host accept this one.
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: cscs\r\nAccept: */*\r\nConnection: close\r\n\r\n", port)
	if err != nil {
		return speaksNothing, seen
	}
	want := []byte("HTTP/")
	got := make([]byte, len(want))
	n, err := io.ReadFull(conn, got)
	switch {
	case err == nil && bytes.Equal(got, want):
		return speaksHTTP, seen
	case err != nil && ctx.Err() != nil && bytes.HasPrefix(want, got[:n]):
		return speaksNothing, seen
	}
	return speaksOther, seen
}

// handlePortProbed handles the result of probePort: it forwards the port or gives it back.
func (s *session) handlePortProbed(work context.Context, m portProbed) {
	f := m.dynamicPort
	if m.generation != f.generation {
		return
	}
	f.asked = true
	switch {
	case m.speech == speaksHTTP, f.listener != nil && m.seen.Ours() && m.speech == speaksNothing:
		f.addr = m.seen.Addr
		s.forwardPort(work, f, m.seen)
	default:
		f.notHTTP = true
		s.giveBack(work, f)
	}
}

// forwardPort sets the target of a local port to a further server, and reports it.
func (s *session) forwardPort(work context.Context, f *dynamicPort, seen slurm.Listener) {
	if f.listener == nil && !s.openDynamicPort(work, f) {
		return
	}
	s.tellServes(f.listener.Port(), f.port)
	f.listener.SetTarget(s.newNodeDialer().newTarget(f.port, f.addr))
	p, local := &s.dynamicPorts, f.listener.Port()
	if !p.told[[2]int{local, f.port}] {
		p.told[[2]int{local, f.port}] = true
		s.out.emitEvent(Event{Event: EventForward, URL: fmt.Sprintf("http://127.0.0.1:%d/", local), On: s.node.name, LocalPort: local, Remote: f.addr})
	}
	if seen.Verdict == "wide" && !p.wide[f.port] {
		p.wide[f.port] = true
		s.out.warn(fmt.Sprintf("the server on port %d listens on %s of %s, where others can reach it too", f.port, seen.Bound, s.node.name))
	}
}

// openDynamicPort opens the local port: the same number as on the node, or the next free one.
func (s *session) openDynamicPort(work context.Context, f *dynamicPort) bool {
	open, p := 0, &s.dynamicPorts
	for _, g := range p.ports {
		if g.listener != nil {
			open++
		}
	}
	if open >= maxDynamicPorts {
		f.overLimit = true
		if !p.full {
			p.full = true
			s.out.warn(fmt.Sprintf("%d dynamic ports are forwarded: port %d of %s, and others, wait until one of them is closed", maxDynamicPorts, f.port, s.node.name))
		}
		return false
	}
	l, err := forward.ListenFrom(f.port)
	if err != nil {
		if !p.none {
			p.none = true
			s.out.warn(fmt.Sprintf("port %d of %s is not forwarded: %v", f.port, s.node.name, err))
		}
		return false
	}
	l.Observe = s.postConnError
	if s.cfg.isProtected() {
		l.Room, l.Guarded = s.cfg.Room.Beside(l.Port(), l.Dial), true
	}
	f.listener = l
	s.cfg.Metrics.addPort(l)
	s.work.Go(func() {
		if err := l.Serve(work); err != nil {
			_ = s.sendMessage(work, dynamicPortLost{f, l, err})
		}
	})
	return true
}

// handleDynamicPortLost handles a local port that the system has closed.
func (s *session) handleDynamicPortLost(work context.Context, m dynamicPortLost) {
	if m.dynamicPort.listener != m.listener {
		return
	}
	s.out.warn(fmt.Sprintf("port %d of %s is no longer forwarded: %v", m.dynamicPort.port, s.node.name, m.err))
	m.dynamicPort.notHTTP = true
	s.giveBack(work, m.dynamicPort)
}

// giveBack closes the local port, if there is one, and tries the ports that were over the limit
// again.
func (s *session) giveBack(work context.Context, f *dynamicPort) {
	f.cancelWait()
	if f.listener == nil {
		return
	}
	s.idle.usedAt(f.listener.Stats().LastActivity)
	_ = f.listener.Close()
	s.cfg.Metrics.removePort(f.listener)
	f.listener = nil
	for _, g := range s.dynamicPorts.ports {
		if g.overLimit {
			g.overLimit = false
			s.probePort(work, g)
		}
	}
}

// holdDynamicPorts makes connections wait because the connection to the node is lost.
func (s *session) holdDynamicPorts() {
	for _, f := range s.dynamicPorts.ports {
		if len(f.addrs) == 0 {
			continue // its grace period goes on
		}
		f.cancelWait()
		if f.listener != nil {
			f.listener.SetTarget(nil)
		}
	}
}

// resumeDynamicPorts resumes the forwards when the session is ready or the node is reached again.
func (s *session) resumeDynamicPorts(work context.Context) {
	for _, f := range s.dynamicPorts.ports {
		switch {
		case len(f.addrs) == 0:
		case !f.asked:
			s.probePort(work, f)
		case f.listener != nil:
			f.listener.SetTarget(s.newNodeDialer().newTarget(f.port, f.addr))
		}
	}
}

// dropDynamicPorts closes all further ports, because another server starts.
func (s *session) dropDynamicPorts() {
	for _, f := range s.dynamicPorts.ports {
		f.cancelWait()
		if f.listener != nil {
			s.idle.usedAt(f.listener.Stats().LastActivity)
			_ = f.listener.Close()
			s.cfg.Metrics.removePort(f.listener)
		}
	}
	clear(s.dynamicPorts.ports)
}

// cancelWait cancels the current wait of the port.
func (f *dynamicPort) cancelWait() {
	f.generation++
	f.stop()
	f.stop = func() {}
}

// startWait cancels the current wait and returns the context of a new one.
func (f *dynamicPort) startWait(work context.Context) context.Context {
	f.cancelWait()
	ctx, stop := context.WithCancel(work)
	f.stop = stop
	return ctx
}

// portOf returns the port of host:port, or 0 if there is none.
func portOf(addr string) int {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(p)
	if err != nil {
		return 0
	}
	return port
}
