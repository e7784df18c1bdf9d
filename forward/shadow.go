package forward

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"time"
)

// portProbeTimeout is long for loopback. It is short enough for Windows, which tries a closed port
// several times before it reports an error.
const portProbeTimeout = 100 * time.Millisecond

// probeLocalPort returns an error if a process answers on port of a loopback address. BSD, macOS
// and Windows allow a bind to 127.0.0.1 while another socket has the same port on all addresses.
// The client would then take the place of a server that the user runs there. On Linux, bind fails.
func probeLocalPort(ctx context.Context, port int) error {
	if runtime.GOOS == "linux" {
		return nil
	}
	d := net.Dialer{Timeout: portProbeTimeout}
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := d.DialContext(ctx, "tcp", joinHostPort(host, port))
		if err == nil {
			_ = c.Close()
			return fmt.Errorf("%s answers: %w", joinHostPort(host, port), errInUse)
		}
	}
	return nil
}
