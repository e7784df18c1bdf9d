//go:build unix

package forward

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/stoptest"
)

// A connection that waits for a target gets it, even if the process was stopped for longer
// than the connection may wait.
func TestStoppedProcessHoldsConnections(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		l, _ := start(t, nil, func(l *Listener) { l.Hold = 2 * time.Second })
		c := dial(t, l)
		eventually(t, "the connection waits", func() bool { return l.Stats().Held == 1 })
		stop(2 * l.Hold)
		l.SetTarget(testServer(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "here") }))
		if got, err := io.ReadAll(c); string(got) != "here" {
			t.Errorf("%q, %v", got, err)
		}
	})
}
