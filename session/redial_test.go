package session

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
)

// redials is when a session with that lease dials again, since it has begun to, if each dial
// ends with what answer says; and how it ended.
func redials(t *testing.T, lease time.Duration, answer func(nth int) (*share.Chain, error)) (at []time.Duration, end redialled, notices []any) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := newSession(Config{Lease: lease, Dial: func(context.Context, chain.Options) (*share.Chain, error) {
			at = append(at, time.Since(began))
			return answer(len(at))
		}}, func(Event) {})
		work, stop := context.WithCancel(t.Context())
		defer stop()
		s.redialChain(work)
		s.redialChain(work) // one at a time
		end = (<-s.messages).(redialled)
		stop()
		s.work.Wait()
		for len(s.notices) > 0 {
			notices = append(notices, <-s.notices)
		}
	})
	return at, end, notices
}

// A lost chain is dialled again at once, then at growing pauses of some seconds, for as
// long as the lease lasts and the job may outlive it.
func TestRedialGivesUp(t *testing.T) {
	unreachable := &chain.DialError{Hop: "ela", Phase: chain.PhaseConnect, Err: syscall.ECONNREFUSED}
	const lease = 10 * time.Minute
	at, end, _ := redials(t, lease, func(int) (*share.Chain, error) { return nil, unreachable })
	if !errors.Is(end.err, unreachable) {
		t.Errorf("ended with %v", end.err)
	}
	if at[0] != 0 || at[1] > 2*redialFirst {
		t.Errorf("the first tries were after %v and %v", at[0], at[1])
	}
	for i := 1; i < len(at); i++ {
		if pause := at[i] - at[i-1]; pause > redialMost*3/2 {
			t.Errorf("a pause of %v", pause)
		}
	}
	// The first try that fails after that time is the last.
	if last := at[len(at)-1]; last < lease || last > lease+Overrun+redialMost*3/2 {
		t.Errorf("the last try was after %v", last)
	}
	// The pauses grow: it is not a hammer.
	if most := int((lease + Overrun) / (redialMost / 2)); len(at) > most+6 {
		t.Errorf("%d tries", len(at))
	}
}

// A dial that ended without an answer is followed by the next one at once: the network may be back in any pause.
func TestRedialUnanswered(t *testing.T) {
	late := &chain.DialError{Hop: "ela", Phase: chain.PhaseConnect, Err: context.DeadlineExceeded}
	at, _, _ := redials(t, time.Hour, func(nth int) (*share.Chain, error) {
		if nth > 3 {
			return new(share.Chain), nil
		}
		time.Sleep(30 * time.Second) //nolint:forbidigo // of the bubble's time
		return nil, late
	})
	for i, d := range at {
		if want := time.Duration(i) * 30 * time.Second; d != want {
			t.Errorf("dial %d after %v, want %v", i, d, want)
		}
	}
}

// What is wrong says how soon it is tried again, and whether.
func TestRedialPauses(t *testing.T) {
	done := new(share.Chain)
	for name, c := range map[string]struct {
		err     error
		pause   time.Duration
		notices int
	}{
		"no key that is good":   {&chain.KeyError{Err: errors.New("expired")}, rekeyPause, 3},
		"the key is not taken":  {&chain.AuthError{Hop: "ela"}, redialRefused, 3},
		"the agent is locked":   {&chain.SignError{Err: errors.New("locked")}, redialRefused, 3},
		"no network":            {&chain.DialError{Hop: "ela", Phase: chain.PhaseConnect, Err: syscall.ENETUNREACH}, redialFirst, 0},
		"another host than ela": {&chain.HostKeyError{Host: "ela", Kind: chain.HostKeyChanged}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			at, end, notices := redials(t, time.Hour, func(nth int) (*share.Chain, error) {
				if nth > 3 {
					return done, nil
				}
				return nil, c.err
			})
			if len(notices) != c.notices {
				t.Errorf("told of %d times", len(notices))
			}
			if c.pause == 0 {
				if len(at) != 1 || !errors.Is(end.err, c.err) {
					t.Errorf("tried at %v, ended with %v", at, end.err)
				}
				return
			}
			if len(at) != 4 || end.err != nil || end.chain != done {
				t.Fatalf("tried at %v, ended with %v", at, end.err)
			}
			for i := 1; i < len(at); i++ {
				if pause := at[i] - at[i-1]; pause != c.pause {
					t.Errorf("a pause of %v, want %v", pause, c.pause)
				}
			}
		})
	}
}
