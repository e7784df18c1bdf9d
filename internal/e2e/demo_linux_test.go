//go:build !lab

package e2e

import (
	"syscall"
	"testing"
	"time"
)

// TestDemoAllKilled: the cluster, the keeper and the client at once. The kernel tells the server.
func TestDemoAllKilled(t *testing.T) {
	n := newNewcomer(t)
	s := n.cscs("demo")
	s.ready()
	started, _ := s.find("started")
	for _, pid := range n.processes() {
		if pid != started.PID {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	s.exit(patience)
	if left := poll(10*time.Second, func() string {
		if n.processes() != nil {
			return "processes"
		}
		return ""
	}); left != "" {
		t.Errorf("left behind: %s", n.left())
	}
	next := n.cscs("demo")
	next.ready()
	next.leaveBy(syscall.SIGINT, 0)
	n.gone(time.Second)
}
