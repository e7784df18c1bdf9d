package chain

import (
	"context"
	"net"
	"time"

	"github.com/sourcegraph/conc"
)

// Another connection is tried beside those that have not been answered, once every
// connectPause. A kernel sends a SYN that was lost again after 1, 3, 7, 15 s (RFC 6298, section
// 5.5): when a network comes back, the next one may be many seconds away.
const connectPause = time.Second

// netDial is the way to the first hop. TCP's own keepalive is a second line of
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
	return promptly(conn), nil
}

// firstOf dials, and again beside that after each connectPause, until one has its answer: that is
// the answer of all.
func firstOf(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	type answer struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, taken := make(chan answer), make(chan struct{})
	var tries conc.WaitGroup
	try := func() {
		conn, err := dial(ctx)
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
	for {
		tries.Go(try)
		select {
		case a := <-first:
			close(taken)
			cancel()
			tries.Wait()
			return a.conn, a.err
		case <-again.C:
		}
	}
}
