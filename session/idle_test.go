package session

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/runclock"
	"github.com/alps-tunnel/cscs/slurm"
)

// A use is when a server was used, or that it could not be asked.
type use struct {
	from, to time.Duration // after ready
	lost     bool
}

// watch lives through the idleness of a session whose server is used as told, until it ends,
// and tells when it warned and ended, after ready.
func watch(t *testing.T, limit time.Duration, uses ...use) (warned []time.Duration, ended time.Duration, asked int) {
	t.Helper()
	began := time.Now()
	s := newSession(Config{Idle: limit}, nil)
	s.out.emit = func(e Event) {
		if e.Event != EventWarning {
			t.Errorf("told %+v", e)
			return
		}
		warned = append(warned, time.Since(began))
		if want := time.Now().Add(s.idle.warningPeriod()); e.Ends == nil || !e.Ends.Equal(want) {
			t.Errorf("warned of %v, want %v", e.Ends, want)
		}
	}
	s.idle.timer = runclock.NewTimer(limit)
	s.awaitIdle()
	for {
		<-s.idle.timer.C
		asked++
		now := time.Since(began)
		used, lost := time.Time{}, false
		for _, u := range uses {
			switch {
			case now < u.from:
			case u.lost:
				lost = lost || now < u.to
			default:
				used = began.Add(min(now, u.to))
			}
		}
		if lost {
			s.useUnknown()
			continue
		}
		var idle *idleError
		if err := s.judgeUse(used); errors.As(err, &idle) {
			return warned, time.Since(began), asked
		}
	}
}

func TestIdle(t *testing.T) {
	const m = time.Minute
	for _, tt := range []struct {
		name   string
		limit  time.Duration
		uses   []use
		warned []time.Duration
		ended  time.Duration
	}{
		{"never used", time.Hour, nil, []time.Duration{54 * m}, 60 * m},
		{"shortest", m, nil, []time.Duration{30 * time.Second}, m},
		{"a tenth is less than a minute", 5 * m, nil, []time.Duration{4 * m}, 5 * m},
		{"used once", time.Hour, []use{{from: 20 * m, to: 20 * m}}, []time.Duration{74 * m}, 80 * m},
		{"used all day", time.Hour, []use{{from: 0, to: 600 * m}}, []time.Duration{654 * m}, 660 * m},
		{"used after the warning", time.Hour, []use{{from: 57 * m, to: 57 * m}}, []time.Duration{54 * m, 111 * m}, 117 * m},
		{"lost before the warning", time.Hour, []use{{from: 50 * m, to: 600*m + 30*time.Second, lost: true}}, []time.Duration{601 * m}, 607 * m},
		{"lost after the warning", time.Hour, []use{{from: 58 * m, to: 70*m + 30*time.Second, lost: true}}, []time.Duration{54 * m, 71 * m}, 77 * m},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				warned, ended, asked := watch(t, tt.limit, tt.uses...)
				if len(warned) != len(tt.warned) || ended != tt.ended {
					t.Fatalf("warned after %v and ended after %v, want %v and %v", warned, ended, tt.warned, tt.ended)
				}
				for i := range warned {
					if warned[i] != tt.warned[i] {
						t.Errorf("warned after %v, want %v", warned, tt.warned)
					}
				}
				// Not more than once a minute, and at a shorter limit twice in that.
				if most := 2 + int(time.Since(began)/m); asked > most {
					t.Errorf("asked %d times in %v", asked, ended)
				}
			})
		})
	}
}

// While all goes well, a server is asked twice within the limit at most: nothing polls.
func TestIdleDoesNotPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, asked := watch(t, time.Hour, use{from: 0, to: 24 * time.Hour})
		if asked > 29 {
			t.Errorf("asked %d times in 24 hours", asked)
		}
	})
}

// What moved at a further port counts too, be it that the port is gone meanwhile.
func TestIdleOfFurtherPorts(t *testing.T) {
	s := newSession(Config{Idle: time.Hour}, func(Event) {})
	s.idle.timer = runclock.NewTimer(time.Hour)
	defer s.idle.timer.Stop()
	s.awaitIdle()
	s.idle.used = time.Now().Add(-2 * time.Hour)
	l, err := forward.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := &dynamicPort{port: l.Port(), listener: l, stop: func() {}}
	s.dynamicPorts.ports = map[int]*dynamicPort{f.port: f}
	if err := s.judgeUse(time.Time{}); err != nil || !s.idle.warned.IsZero() {
		t.Errorf("warned at %v, %v", s.idle.warned, err)
	}
	s.idle.used = time.Now().Add(-2 * time.Hour)
	s.giveBack(t.Context(), f)
	if err := s.judgeUse(time.Time{}); err != nil || !s.idle.warned.IsZero() {
		t.Errorf("without the port: warned at %v, %v", s.idle.warned, err)
	}
}

// A session that nobody uses ends as asked, and one that is used does not.
func TestIdleEnds(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	cfg.Idle = 4 * time.Second
	l := a.start(cfg)
	ready := l.await(EventReady)
	w := l.await(EventWarning)
	if w.Ends == nil || !strings.Contains(w.Message, "not used for 2s") || !strings.Contains(w.Message, "use it") {
		t.Errorf("warned %+v", w)
	}
	if err := get(t, ready.URL); err != nil {
		t.Error(err)
	}
	used := time.Now()
	l.await(EventWarning)
	e := l.await(EventEnding)
	if e.Reason != "idle for 4s" || e.Time.Sub(used) < 3*time.Second {
		t.Errorf("ending: %q, %v after the last use", e.Reason, e.Time.Sub(used))
	}
	end := l.await(EventEnded)
	if !strings.HasPrefix(end.Reason, "idle for 4s: job ") || *end.Code != 0 {
		t.Errorf("ended: %+v", end)
	}
	if err := l.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if strings.Contains(l.names(), EventError) {
		t.Errorf("an error was told: %s", l.names())
	}
	a.nothingLeft()
}

// attach attends the session of cfg, which goes on already.
func (a *alps) attach(cfg Config, client string) *life {
	a.t.Helper()
	cfg.App, cfg.Client = app.App{}, client
	return a.live(cfg, func(ctx context.Context, cfg Config, emit func(Event)) error {
		return Attach(ctx, cfg, func(About, slurm.Found) {}, emit)
	})
}

// One that was picked up ends, too, when nobody uses it. It goes on as long as another
// attends it, who may use it: the last one ends it, also if both go at the same time.
func TestIdleEndsWhatWasPickedUp(t *testing.T) {
	t.Parallel()
	for _, clients := range [][]string{{"alice@laptop (pid 1)"}, {"alice@laptop (pid 1)", "alice@desktop (pid 1)"}} {
		t.Run(strconv.Itoa(len(clients)), func(t *testing.T) {
			t.Parallel()
			a := newAlps(t)
			cfg := a.config()
			cfg.Idle, cfg.Lease = 4*time.Second, time.Hour
			a.orphan(cfg)
			var lives []*life
			for _, c := range clients {
				lives = append(lives, a.attach(cfg, c))
			}
			gone := 0
			for _, l := range lives {
				l.await(EventReady)
			}
			for _, l := range lives {
				end := l.await(EventEnded)
				switch {
				case *end.Code != 0:
					t.Errorf("ended: %+v", end)
				case strings.HasPrefix(end.Reason, "idle for 4s: job "), strings.HasPrefix(end.Reason, "stopped from elsewhere"):
					gone++
				case !strings.HasPrefix(end.Reason, "idle for 4s here, and others attend it; detached: job "):
					t.Errorf("ended: %q", end.Reason)
				}
				if err := l.end(); err != nil {
					t.Errorf("ended with %v", err)
				}
			}
			if gone == 0 {
				t.Error("nobody ended it")
			}
			a.nothingLeft()
		})
	}
}

// A server that has its own idea of use is asked for that, through the tunnel, and what
// an open page does by itself is no use.
func TestIdleAsksTheServer(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	cfg.Idle = 4 * time.Second
	cfg.App.Use = "turn the handle"
	var asked atomic.Int64
	cfg.App.LastUse = func(ctx context.Context, c *http.Client, base string) (time.Time, error) {
		switch asked.Add(1) {
		case 1:
			return time.Now(), nil // it computes
		case 2, 3, 4:
			return time.Time{}, errors.New("too busy to answer")
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/", nil)
		if err != nil {
			return time.Time{}, err
		}
		resp, err := c.Do(req)
		if err != nil {
			return time.Time{}, err
		}
		return time.Time{}, resp.Body.Close()
	}
	l := a.start(cfg)
	ready := l.await(EventReady)
	ctx, stop := context.WithCancel(t.Context())
	var page sync.WaitGroup
	page.Go(func() {
		for tick := time.NewTicker(200 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			_ = get(t, ready.URL)
		}
	})
	if w := l.await(EventWarning); !strings.Contains(w.Message, "too busy to answer") || w.Ends != nil {
		t.Errorf("warned %+v", w)
	}
	if w := l.await(EventWarning); !strings.Contains(w.Message, "turn the handle") {
		t.Errorf("warned %+v", w)
	}
	if e := l.await(EventEnding); e.Reason != "idle for 4s" {
		t.Errorf("ending: %q", e.Reason)
	}
	stop()
	page.Wait()
	if err := l.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if n := asked.Load(); n != 6 {
		t.Errorf("asked %d times", n)
	}
	a.nothingLeft()
}

func TestSpell(t *testing.T) {
	for d, want := range map[time.Duration]string{
		4 * time.Second: "4s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h", 54*time.Minute + 20*time.Second: "54m",
		25*time.Hour + 30*time.Minute: "25h30m", 0: "0s",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// TestIdleClockStep: a wall clock that is set back puts off neither a warning nor the end: what it has
// left in the future counts from now.
func TestIdleClockStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warnings := 0
		s := newSession(Config{Idle: time.Hour}, func(Event) { warnings++ })
		s.idle.timer = runclock.NewTimer(24 * time.Hour)
		defer s.idle.timer.Stop()
		s.awaitIdle()
		now := time.Now().Round(0)
		// It warned, and then the clock was set back by 30 minutes.
		s.idle.used, s.idle.warned = now.Add(-90*time.Minute), now.Add(30*time.Minute)
		if err := s.judgeUse(time.Time{}); err != nil || warnings != 1 || !s.idle.warned.Equal(now) {
			t.Errorf("%d warnings, the last at %v, %v; now is %v", warnings, s.idle.warned, err, now)
		}
		<-s.idle.timer.C
		if waited := time.Since(now); waited != s.idle.warningPeriod() {
			t.Errorf("it looks after %v", waited)
		}
		if err := s.judgeUse(time.Time{}); !errors.As(err, new(*idleError)) {
			t.Errorf("after the notice: %v", err)
		}
		// It was used, and then the clock was set back by ten hours.
		now = time.Now().Round(0)
		s.idle.warned = time.Time{}
		if err := s.judgeUse(now.Add(10 * time.Hour)); err != nil || !s.idle.used.Equal(now) {
			t.Errorf("used at %v, %v; now is %v", s.idle.used, err, now)
		}
		<-s.idle.timer.C
		if waited := time.Since(now); waited != s.idle.limit-s.idle.warningPeriod() {
			t.Errorf("it looks after %v", waited)
		}
	})
}

// TestIdleOfALostNode: a server on a node that does not answer counts as used, since no client reaches it.
func TestIdleOfALostNode(t *testing.T) {
	l, err := forward.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, lost := range []bool{false, true} {
		s := newSession(Config{Idle: time.Nanosecond}, func(Event) {})
		s.node.chain, s.node.lost, s.listener = new(chain.Chain), lost, l
		s.idle.timer = runclock.NewTimer(time.Hour)
		defer s.idle.timer.Stop()
		s.awaitIdle()
		if err := s.queryLastUse(t.Context()); err != nil || s.idle.warned.IsZero() != lost {
			t.Errorf("node lost: %v: warned at %v, %v", lost, s.idle.warned, err)
		}
	}
}

// TestIdleAfterTheLimit: nothing says that a session ends unused after its job has reached its time limit.
func TestIdleAfterTheLimit(t *testing.T) {
	for limit, want := range map[time.Duration]bool{time.Minute: false, time.Hour: true} {
		told := false
		s := newSession(Config{Idle: time.Hour}, func(Event) { told = true })
		s.job.info.Ends = time.Now().Add(limit)
		s.warnOfIdle(54*time.Minute, time.Now().Add(6*time.Minute))
		if told != want {
			t.Errorf("a job that ends in %v: warned: %v", limit, told)
		}
	}
}
