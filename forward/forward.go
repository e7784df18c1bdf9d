// Package forward is the laptop's end of the tunnel: one local port, on the
// loopback addresses of both IP versions and nowhere else, whose connections
// are carried to wherever the current [Target] leads.
//
// The listener outlives its target. It is opened before anything is asked of
// the cluster, so that a busy port is found out in time, and it stays open
// while the way to the server is lost and found again: connections that come
// meanwhile wait. The local URL is thus the same from beginning to end.
//
// # Half-close
//
// A connection is two streams. The end of one is handed on as the end of that
// one (CloseWrite) and says nothing about the other; the connection is closed
// when both have ended. An error is different: it ends both at once, and by a
// reset, because an orderly end would make half a download look like a whole.
package forward

import (
	"context"
	"net"
	"time"
)

// A Target opens a connection to the server that is forwarded. It is called
// once for each local connection, by many goroutines at once, and must give up
// when ctx ends. That it does, too, when another target is set and when the
// connection has waited for long enough; a connection that is open outlives it.
//
// The connection should have a CloseWrite method, as [net.TCPConn] and
// chain's connections have, or else the server never learns that a client has
// finished sending. Its Close must release a Read or Write that is under way,
// whatever the network does: [Listener.Serve] waits for both.
type Target func(ctx context.Context) (net.Conn, error)

// DefaultHold is how long a connection waits for a target, and for it to answer, by
// default.
const DefaultHold = 60 * time.Second

// Stats are the counts of a [Listener]. They are read without a lock and so
// may differ among each other by what happens meanwhile.
type Stats struct {
	Open     int64 // connections that are being carried
	Held     int64 // connections that wait for a target, or for it to answer
	Total    int64 // all connections ever accepted
	Failed   int64 // connections that never reached a target
	Received int64 // bytes from the target to the laptop
	Sent     int64 // bytes from the laptop to the target

	// LastActivity is when the last byte moved or connection came, by the
	// wall clock, so that a laptop's sleep counts as idleness. Before that it
	// is when the listener was opened.
	LastActivity time.Time
}
