package session

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/slurm"
)

// TestRunAgain: a command that a host ends now and then, after it has worked for a while (sshd_config(5),
// ChannelTimeout; a site's cleaner of processes), is there again at once, each time.
func TestRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		runs, ended, most := 0, time.Now(), time.Duration(0)
		runAgain(ctx, 200*time.Millisecond, 10*time.Second, func() error {
			most = max(most, time.Since(ended))
			if runs++; runs == 100 {
				cancel()
			}
			time.Sleep(5 * time.Minute) //nolint:forbidigo // of the bubble's time
			ended = time.Now()
			return slurm.ErrCut
		})
		if runs != 100 || most > time.Second {
			t.Errorf("%d runs, at most %v apart", runs, most)
		}
	})
}

// TestReadAgainForLong: likewise for the events. They are given up only where no reading works.
func TestReadAgainForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSession(Config{Lease: 5 * time.Minute}, func(Event) {})
		killed := &ssh.ExitMissingError{}
		for n := range 1000 {
			if _, err := s.handleMessage(t.Context(), slurm.Hello{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute) //nolint:forbidigo // of the bubble's time
			if !s.readAgain(t.Context(), killed) {
				t.Fatalf("given up after %d readings of five minutes", n+1)
			}
			<-s.messages
		}
		n, given := 0, false
		for ; n < 1000 && !given; n++ {
			if given = !s.readAgain(t.Context(), killed); !given {
				<-s.messages
			}
		}
		if !given {
			t.Error("not given up though none works")
		}
		s.work.Wait()
	})
}
