//go:build lab

package e2e

import (
	"strings"
	"testing"
)

// TestSlowStart: a server that computes for longer than the start timeout, and says nothing, is
// waited for.
func TestSlowStart(t *testing.T) {
	begin(t)
	s := cscs(t, "run", "--start-timeout", "7s", "--", "bash", "-c",
		`while ((SECONDS < 16)); do :; done; exec "$0" "127.0.0.1:$PORT"`, lab.testserver)
	says(t, s.wait("warning", "ready").Message, "not ready after 7s", "uses CPU")
	s.ready()
	closeReady(t, s)
}

// TestSlowStartRests: one that works, and then hangs, is ended when it has rested for a while.
func TestSlowStartRests(t *testing.T) {
	begin(t)
	s := cscs(t, "run", "--start-timeout", "7s", "--", "bash", "-c", `while ((SECONDS < 9)); do :; done; exec sleep 600`)
	says(t, s.wait("warning").Message, "not ready after 7s")
	e := s.failure(5, "start-timeout")
	says(t, e.Message, "listen")
	if strings.Contains(e.Message, "within 7s") {
		t.Errorf("it was waited for longer than 7 s: %s", e.Message)
	}
}

// TestNeighboursOfAnOpenServer: on a node that others may use, a server without a login is open to
// them, which is said; on a node of one's own nothing is.
func TestNeighboursOfAnOpenServer(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
		warns bool
	}{{"shared", onShared, true}, {"exclusive", nil, false}} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			s := serve(t, c.flags)
			s.ready()
			w, told := s.find("warning")
			if told != c.warns {
				t.Errorf("a warning: %v %s", told, w.Message)
			}
			if told {
				says(t, w.Message, "shared", "nid001001", "--exclusive")
			}
			closeReady(t, s)
		})
	}
}
