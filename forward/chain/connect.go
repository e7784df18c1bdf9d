package chain

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/sourcegraph/conc"
)

// connectPause is the pause between connection attempts that run in parallel. The kernel repeats a
// lost SYN after 1, 3, 7 and 15 s (RFC 6298, section 5.5). So when a network comes back, its next
// attempt may be many seconds away.
const connectPause = 500 * time.Millisecond

// connectTimeout is the timeout of each further attempt, so that they do not pile up. The kernel
// sends its SYN twice in that time. The first attempt may take as long as the dial, for networks
// with longer round trips.
const connectTimeout = 2 * time.Second

// netDial is the default of Options.NetDial. TCP keepalive is a second line of defence: the SSH
// keepalive asks the server, and TCP's also frees a socket whose chain was not closed in order.
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

// firstOf calls dial, and again in parallel after each connectPause, until one call has a result.
// That is the result of firstOf. It cancels all but the first call after connectTimeout.
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
				// No deadline: a net.Dialer that sees one may return before ctx ends.
				ctx, giveUp := context.WithCancelCause(ctx)
				defer giveUp(nil)
				defer time.AfterFunc(connectTimeout, func() { giveUp(errNoAnswer) }).Stop()
				try(ctx)
			})
		}
	}
}

var errNoAnswer = errors.New("no answer to the SYN")
