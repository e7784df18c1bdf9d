//go:build linux || darwin

package share

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/stoptest"
)

// A process that is stopped while it waits for the dial of another one joins that when it
// continues: it makes no second login.
func TestStoppedProcessJoins(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		arrived, leave := make(chan struct{}, 2), make(chan struct{})
		s := newSite(t, func(i int, c *sshtest.Config) {
			c.Account = func(string) error {
				if i == 1 {
					arrived <- struct{}{}
					<-leave
				}
				return nil
			}
		})
		s.place.Wait = stuckTimeout
		chains := make(chan *Chain, 2)
		share := func() {
			c, err := Dial(t.Context(), s.place, chain.Options{}, s.dialSite)
			if err != nil {
				t.Error(err)
			}
			chains <- c
		}
		go share()
		<-arrived
		go share()
		stop(2 * stuckTimeout)
		close(leave)
		for range 2 {
			c := <-chains
			if c.Alone() != nil {
				t.Errorf("it is not shared: %v", c.Alone())
			}
			defer c.Close()
		}
		if n := s.dials.Load(); n != 1 {
			t.Errorf("%d dials", n)
		}
	})
}

// What a process wrote before it closed a connection arrives, even if the owner is stopped
// before it is sent.
func TestStoppedOwnerSendsTheRest(t *testing.T) {
	stoptest.InChild(t, func(t *testing.T, stop func(time.Duration)) {
		read, received := make(chan struct{}), make(chan int64, 1)
		site := newSite(t, func(_ int, c *sshtest.Config) {
			c.Exec = func(_ string, stdin io.Reader, _, _ io.Writer) int {
				<-read
				n, _ := io.Copy(io.Discard, stdin)
				received <- n
				return 0
			}
		})
		_, sharer := site.pair(t)
		conn, err := sharer.Start(t.Context(), "count", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var written int64
		for chunk := make([]byte, 256<<10); ; {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := conn.Write(chunk)
			written += int64(n)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		_ = conn.Close()
		stop(drainTimeout + 2*time.Second)
		close(read)
		if n := <-received; n != written {
			t.Errorf("%d of %d bytes arrived", n, written)
		}
	})
}
