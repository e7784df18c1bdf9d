// Package forward implements the laptop's end of the tunnel. One local port on the loopback
// addresses of both IP versions accepts connections and forwards them to the current [Target].
//
// The listener outlives its target. The session opens it before it contacts the cluster, so a busy
// port is reported early. It stays open while the connection to the server is lost and dialled
// again; connections made meanwhile wait. So the local URL stays the same for the whole session.
//
// # Half-close
//
// A connection consists of two streams. The end of one is forwarded as CloseWrite and does not
// affect the other. The connection is closed when both have ended. An error ends both at once with
// a reset, because after an orderly close a client would take half a download for the whole.
package forward

import (
	"context"
	"net"
	"time"
)

// A Target opens a connection to the server. The listener calls it once for each local connection,
// from many goroutines at once. It must return when ctx ends. That also happens when another target
// is set and when the connection has waited for [Listener.Hold]. An open connection outlives ctx.
//
// The connection should have a CloseWrite method, as [net.TCPConn] and chain's connections have.
// Otherwise the server never learns that a client has finished sending. Its Close must unblock a
// pending Read and Write even if the network does not respond: [Listener.Serve] waits for both.
type Target func(ctx context.Context) (net.Conn, error)

// DefaultHold is the default of [Listener.Hold].
const DefaultHold = 60 * time.Second

// Stats are the counts of a [Listener]. They are read one after the other without a lock, so they
// may differ by what happens meanwhile.
type Stats struct {
	Open     int64 // connections that are being forwarded
	Held     int64 // connections that wait for a target or for its answer
	Total    int64 // all accepted connections
	Failed   int64 // connections that never reached a target
	Received int64 // bytes from the target to the laptop
	Sent     int64 // bytes from the laptop to the target

	// LastActivity is the time of the last byte or new connection, and at first the time at which
	// the listener was opened. It is by the wall clock, so a laptop's sleep counts as idle time.
	LastActivity time.Time
}
