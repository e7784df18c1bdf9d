//go:build unix

package registry

import (
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/stoptest"
)

// Who waits for the end of a session and is stopped meanwhile goes on waiting: the process
// that attends the session gives its signs of life.
func TestStoppedProcessWaitsForTheEnd(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		a := attending{make(chan string, 1)}
		c, err := Serve(t.TempDir(), "abcdefgh", a)
		if err != nil {
			t.Fatal(err)
		}
		p := Reach(Record{Control: c.Path()})
		p.timeout = 3 * heartbeatInterval / 2
		stopped := make(chan error, 1)
		go func() {
			_, err := p.Stop(t.Context())
			stopped <- err
		}()
		<-a.asked
		for range 3 {
			stop(2 * p.timeout)
		}
		c.Close(Outcome{Reason: "stopped"})
		if err := <-stopped; err != nil {
			t.Errorf("a process that gives signs of life: %v", err)
		}
	})
}
