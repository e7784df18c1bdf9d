//go:build lab

package e2e

import (
	"net"
	"testing"
	"time"
)

// TestTunnelNodeCrashes: the power of the node goes while a tunnel leads there. The tunnel reports the loss, and
// ends with the job, which Slurm gives up after its own timeout.
func TestTunnelNodeCrashes(t *testing.T) {
	begin(t)
	settle(t)
	s := serve(t, nil)
	_, port, err := net.SplitHostPort(s.ready().Remote)
	if err != nil {
		t.Fatal(err)
	}
	g, _ := s.find("granted")
	tunnel := cscs(t, "tunnel", "--port", port)
	tunnel.ready()
	t.Cleanup(func() { bootNode(t, g.Node) })
	tell(t, "crash", g.Node)
	if lost := tunnel.wait("lost"); lost.Host != g.Node {
		t.Errorf("lost: %+v", lost)
	}
	tunnel.exitAfter(200 * time.Second)
	says(t, tunnel.failure(4, "job-ended").Message, "job "+g.Job, g.Node)
	s.exitAfter(200 * time.Second)
}
