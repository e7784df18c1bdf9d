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
	maxFurther   = 16              // further ports at a time
	furtherGrace = 5 * time.Second // how long a further server may be gone, to start again, before its local port is given back

	askTimeout = 3 * time.Second // for one answer to "do you speak HTTP?"
	askTries   = 5               // of a server that says nothing: it may be busy starting
	askPause   = time.Second     // between the first two of them; each is twice as long as the one before
	maxAsking  = 8               // at a time
)

// furtherPorts are, with Launch.ForwardNew, the ports beside the server's on which the
// user's processes listen on the node. Like all of session's state they belong to its
// goroutine.
type furtherPorts struct {
	ports  map[int]*further
	asking chan struct{}   // a place for each question under way
	told   map[[2]int]bool // local and remote port, what leads where: never told twice
	wide   map[int]bool    // that a port is open to others, likewise
	full   bool            // that there are too many, likewise
	none   bool            // that a local port cannot be had, likewise
}

// A further is one such port.
type further struct {
	port   int
	addrs  map[string]bool // of its sockets that are there now, as the runner has told; none: it is gone
	judged bool            // it speaks no HTTP
	passed bool            // it does, but there were too many
	asked  bool            // one of these, or forwarded, is what the last answer was

	listener *forward.Listener // the local port; nil: not forwarded
	addr     string            // to which it leads

	turn int                // counts what is waited for, so that what is out of date is known
	stop context.CancelFunc // ends what is waited for: an answer, or the grace
}

// speech is what a server says to a request.
type speech int

const (
	speaksNothing speech = iota // and may yet
	speaksHTTP
	speaksOther
)

// Messages of the goroutines below.
type (
	examined struct {
		further *further
		turn    int
		speech  speech
		seen    slurm.Listener
	}
	expired struct {
		further *further
		turn    int
	}
	furtherLost struct { // the local port
		further  *further
		listener *forward.Listener
		err      error
	}
)

// appeared takes in that a new socket of the user's listens on the node.
func (s *session) appeared(work context.Context, addr string) {
	port := portOf(addr)
	if !s.cfg.Launch.ForwardNew || port == 0 || port == s.port || s.cfg.further != nil && !s.cfg.further(port) {
		return
	}
	p := &s.further
	if p.ports == nil {
		p.ports, p.told, p.wide = map[int]*further{}, map[[2]int]bool{}, map[int]bool{}
		p.asking = make(chan struct{}, maxAsking)
	}
	f := p.ports[port]
	if f == nil {
		f = &further{port: port, addrs: map[string]bool{}, stop: func() {}}
		p.ports[port] = f
	}
	f.addrs[addr], f.judged, f.passed = true, false, false
	s.examine(work, f)
}

// vanished takes in that a socket is gone. Its server may be starting anew: the local
// port is kept for a moment, in which connections wait.
func (s *session) vanished(work context.Context, addr string) {
	f := s.further.ports[portOf(addr)]
	if f == nil {
		return
	}
	delete(f.addrs, addr)
	switch {
	case len(f.addrs) > 0:
		if !f.judged {
			s.examine(work, f) // another of its sockets may be what is to be forwarded to
		}
	case f.listener == nil:
		f.next()
		delete(s.further.ports, f.port)
	default:
		ctx := f.await(work)
		f.listener.SetTarget(nil)
		turn := f.turn
		s.work.Go(func() {
			timer := time.NewTimer(furtherGrace)
			defer timer.Stop()
			select {
			case <-timer.C:
				_ = s.send(ctx, expired{f, turn})
			case <-ctx.Done():
			}
		})
	}
}

// expired takes in that a server has not come back.
func (s *session) expired(work context.Context, m expired) {
	if m.turn != m.further.turn {
		return
	}
	delete(s.further.ports, m.further.port)
	s.giveBack(work, m.further)
}

// examine asks what listens on the port, as soon as the session is ready and the node
// can be reached: whether it is the user's, and speaks HTTP. A Jupyter kernel opens five
// ports that do not, and nobody wants to hear of those.
func (s *session) examine(work context.Context, f *further) {
	ctx := f.await(work)
	f.asked = false
	if !s.ready || s.node == nil {
		return
	}
	turn, gate, asking := f.turn, s.gate(), s.further.asking
	s.work.Go(func() {
		pause := askPause
		for try := 1; ; try++ {
			select {
			case asking <- struct{}{}:
			case <-ctx.Done():
				return
			}
			spoken, seen := gate.ask(ctx, f.port)
			<-asking
			if spoken != speaksNothing || try == askTries {
				_ = s.send(ctx, examined{f, turn, spoken, seen})
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

// ask looks at the port and asks the server there for its first page. Not a byte goes to
// what is not the user's (invariant I5).
func (g gate) ask(ctx context.Context, port int) (speech, slurm.Listener) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	seen, err := g.watch.Look(ctx, port)
	switch {
	case err != nil:
		return speaksNothing, seen
	case !seen.Ours():
		return speaksOther, seen
	}
	conn, err := g.target(port, seen.Addr)(ctx)
	if err != nil {
		return speaksNothing, seen
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	// The Host that servers that look at it let pass.
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

// examined takes in what a port's server says.
func (s *session) examined(work context.Context, m examined) {
	f := m.further
	if m.turn != f.turn {
		return
	}
	f.asked = true
	switch {
	case m.speech == speaksHTTP, f.listener != nil && m.seen.Ours() && m.speech == speaksNothing:
		f.addr = m.seen.Addr
		s.lead(work, f, m.seen)
	default:
		f.judged = true
		s.giveBack(work, f)
	}
}

// lead leads a local port to a further server, and tells.
func (s *session) lead(work context.Context, f *further, seen slurm.Listener) {
	if f.listener == nil && !s.openFurther(work, f) {
		return
	}
	s.tellServes(f.listener.Port(), f.port)
	f.listener.SetTarget(s.gate().target(f.port, f.addr))
	p, local := &s.further, f.listener.Port()
	if !p.told[[2]int{local, f.port}] {
		p.told[[2]int{local, f.port}] = true
		s.out.event(Event{Event: EventForward, URL: fmt.Sprintf("http://127.0.0.1:%d/", local), On: s.nodeName, LocalPort: local, Remote: f.addr})
	}
	if seen.Verdict == "wide" && !p.wide[f.port] {
		p.wide[f.port] = true
		s.out.warn(fmt.Sprintf("the server on port %d listens on %s of %s, where others can reach it too", f.port, seen.Bound, s.nodeName))
	}
}

// openFurther opens the local port: the same as on the node, or the next that is free.
func (s *session) openFurther(work context.Context, f *further) bool {
	open, p := 0, &s.further
	for _, g := range p.ports {
		if g.listener != nil {
			open++
		}
	}
	if open >= maxFurther {
		f.passed = true
		if !p.full {
			p.full = true
			s.out.warn(fmt.Sprintf("%d further ports are forwarded: port %d of %s, and others, have to wait until one of them is closed", maxFurther, f.port, s.nodeName))
		}
		return false
	}
	l, err := forward.ListenFrom(f.port)
	if err != nil {
		if !p.none {
			p.none = true
			s.out.warn(fmt.Sprintf("port %d of %s is not forwarded: %v", f.port, s.nodeName, err))
		}
		return false
	}
	l.Observe = s.observe
	if s.cfg.protected() {
		l.Room, l.Guarded = s.cfg.Room.Beside(l.Port(), l.Dial), true
	}
	f.listener = l
	s.cfg.Gauge.watch(l)
	s.work.Go(func() {
		if err := l.Serve(work); err != nil {
			_ = s.send(work, furtherLost{f, l, err})
		}
	})
	return true
}

// furtherLost takes in that the system has taken a local port away.
func (s *session) furtherLost(work context.Context, m furtherLost) {
	if m.further.listener != m.listener {
		return
	}
	s.out.warn(fmt.Sprintf("port %d of %s is not forwarded any more: %v", m.further.port, s.nodeName, m.err))
	m.further.judged = true
	s.giveBack(work, m.further)
}

// giveBack closes the local port, if there is one, which makes room for another.
func (s *session) giveBack(work context.Context, f *further) {
	f.next()
	if f.listener == nil {
		return
	}
	s.idle.usedAt(f.listener.Stats().LastActivity)
	_ = f.listener.Close()
	s.cfg.Gauge.leave(f.listener)
	f.listener = nil
	for _, g := range s.further.ports {
		if g.passed {
			g.passed = false
			s.examine(work, g)
		}
	}
}

// holdFurther has connections wait: the way to the node is lost.
func (s *session) holdFurther() {
	for _, f := range s.further.ports {
		if len(f.addrs) == 0 {
			continue // its grace goes on
		}
		f.next()
		if f.listener != nil {
			f.listener.SetTarget(nil)
		}
	}
}

// resumeFurther goes on when the session is ready, or the node is reached again.
func (s *session) resumeFurther(work context.Context) {
	for _, f := range s.further.ports {
		switch {
		case len(f.addrs) == 0:
		case !f.asked:
			s.examine(work, f)
		case f.listener != nil:
			f.listener.SetTarget(s.gate().target(f.port, f.addr))
		}
	}
}

// dropFurther forgets all of it: another server is started, or the session ends.
func (s *session) dropFurther() {
	for _, f := range s.further.ports {
		f.next()
		if f.listener != nil {
			s.idle.usedAt(f.listener.Stats().LastActivity)
			_ = f.listener.Close()
			s.cfg.Gauge.leave(f.listener)
		}
	}
	clear(s.further.ports)
}

// next ends what is waited for.
func (f *further) next() {
	f.turn++
	f.stop()
	f.stop = func() {}
}

// await is next, and gives the context of what is waited for now.
func (f *further) await(work context.Context) context.Context {
	f.next()
	ctx, stop := context.WithCancel(work)
	f.stop = stop
	return ctx
}

// portOf gives the port of host:port; 0 if it has none.
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
