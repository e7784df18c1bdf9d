//go:build !linux

package forward

import (
	"context"
	"fmt"
	"net"
	"time"
)

// shadowTimeout is long for loopback, and short enough for Windows, which
// tries a closed port again and again before it says so.
const shadowTimeout = 100 * time.Millisecond

// shadowed returns an error if someone answers on port of a loopback address.
// BSD and Windows let 127.0.0.1 be bound while another has the same port on
// all addresses, and so we would take over what the user is running there.
func shadowed(ctx context.Context, port int) error {
	d := net.Dialer{Timeout: shadowTimeout}
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := d.DialContext(ctx, "tcp", loopback(host, port))
		if err == nil {
			_ = c.Close()
			return fmt.Errorf("%s answers: %w", loopback(host, port), errInUse)
		}
	}
	return nil
}
