//go:build !linux

package forward

import (
	"context"
	"fmt"
	"net"
	"time"
)

// portCheckTimeout is long for loopback, and short enough for Windows, which
// tries a closed port again and again before it says so.
const portCheckTimeout = 100 * time.Millisecond

// checkPortFree returns an error if someone answers on port of a loopback address.
// BSD and Windows let 127.0.0.1 be bound while another has the same port on
// all addresses, and so we would take over what the user is running there.
func checkPortFree(ctx context.Context, port int) error {
	d := net.Dialer{Timeout: portCheckTimeout}
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := d.DialContext(ctx, "tcp", joinHostPort(host, port))
		if err == nil {
			_ = c.Close()
			return fmt.Errorf("%s answers: %w", joinHostPort(host, port), errInUse)
		}
	}
	return nil
}
