package chain

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/sourcegraph/conc"
)

// Another connection is tried beside those that have not been answered, once every
// connectPause. A kernel sends a SYN that was lost again after 1, 3, 7, 15 s (RFC 6298, section
// 5.5): when a network comes back, the next one may be many seconds away.
const connectPause = 500 * time.Millisecond

// connectPatience is how long each of them may take, so that they do not add up: the kernel sends its SYN twice in
// that time. The first one may take as long as the dial, for networks with longer round trips.
const connectPatience = 2 * time.Second

// netDial is the default of Options.NetDial. TCP's own keepalive is a second line of
// defence: ours asks the SSH server, this one also frees a socket whose chain was not
// closed in order.
func netDial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 8,
	}}
	conn, err := firstOf(ctx, func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, network, addr) })
	if err != nil {
		return nil, err
	}
	return withQuickAck(conn), nil
}

// firstOf dials, and again beside that after each connectPause, until one has its answer: that is
// the answer of all. All but the first are given up after connectPatience.
func firstOf(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	type answer struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, taken := make(chan answer), make(chan struct{})
	var tries conc.WaitGroup
	try := func(ctx context.Context) {
		conn, err := dial(ctx)
		if errors.Is(context.Cause(ctx), errNoAnswer) {
			if err == nil {
				_ = conn.Close()
			}
			return
		}
		select {
		case first <- answer{conn, err}:
		case <-taken:
			if err == nil {
				_ = conn.Close()
			}
		}
	}
	again := time.NewTicker(connectPause)
	defer again.Stop()
	tries.Go(func() { try(ctx) })
	for {
		select {
		case a := <-first:
			close(taken)
			cancel()
			tries.Wait()
			return a.conn, a.err
		case <-again.C:
			tries.Go(func() {
				// Not a deadline: a net.Dialer that knows one may return before ctx ends.
				ctx, giveUp := context.WithCancelCause(ctx)
				defer giveUp(nil)
				defer time.AfterFunc(connectPatience, func() { giveUp(errNoAnswer) }).Stop()
				try(ctx)
			})
		}
	}
}

var errNoAnswer = errors.New("no answer to the SYN")
