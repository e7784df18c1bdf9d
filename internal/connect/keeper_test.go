package connect

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// A door is a shared connection of which a test says who uses it.
type door struct {
	mu      sync.Mutex
	n       int
	shut    bool
	late    bool // a command joins in the moment in which it is shut
	changed chan struct{}
	done    chan struct{}
}

func (d *door) Users() (int, bool, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n, !d.shut, d.changed
}

func (d *door) Done() <-chan struct{} { return d.done }

func (d *door) Shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
	if d.late {
		d.n, d.late = 1, false
	}
}

// use sets the number of commands, as the keeper sees it.
func (d *door) use(n int) {
	synctest.Wait()
	d.mu.Lock()
	d.n = n
	close(d.changed)
	d.changed = make(chan struct{})
	d.mu.Unlock()
	synctest.Wait()
}

// watched is a watch under way.
type watched struct {
	*door
	store  *registry.Store
	keeper *keeper
	began  time.Time
	ended  chan struct{}
	stop   context.CancelFunc
}

func startWatch(t *testing.T, unused, certificate time.Duration) *watched {
	t.Helper()
	rec := registry.Record{ID: sessionid.New()}
	store := registry.OpenConnections(t.TempDir())
	entry, err := store.Take(rec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &watched{store: store, door: &door{changed: make(chan struct{}), done: make(chan struct{})}, began: time.Now(), ended: make(chan struct{}), stop: cancel,
		keeper: &keeper{unused: unused, until: time.Now().AddDate(1, 0, 0), rec: rec, entry: entry, answer: func(string) {}}}
	if certificate > 0 {
		w.keeper.until = w.began.Add(certificate)
	}
	go func() {
		w.keeper.watchConnection(ctx, w.door)
		close(w.ended)
	}()
	return w
}

// endsAfter fails the test unless the watch ends so long after it began.
func (w *watched) endsAfter(t *testing.T, want time.Duration) {
	t.Helper()
	<-w.ended
	if took := time.Since(w.began); took < want || took > want+keeperCheckInterval {
		t.Errorf("it ended after %v, want %v", took, want)
	}
}

func (w *watched) shows(t *testing.T, state string, after time.Duration) {
	t.Helper()
	synctest.Wait()
	all, err := w.store.List()
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	switch rec := all[0].Record; {
	case rec.State != state:
		t.Errorf("state %q, want %q", rec.State, state)
	case (after == 0) != (rec.Ends == nil), after > 0 && rec.Ends.Sub(w.began).Round(time.Second) != after:
		t.Errorf("%s: ends %v, want %v after %v", state, rec.Ends, after, w.began)
	}
}

// staysClosed fails the test unless its commands keep the connection, and others do not get it.
func (w *watched) staysClosed(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if _, open, _ := w.Users(); open {
		t.Error("other commands may join")
	}
	select {
	case <-w.ended:
		t.Fatal("it ended under its command")
	default:
	}
}

func TestKeeperWatch(t *testing.T) {
	tests := map[string]func(*testing.T){
		"no command uses it": func(t *testing.T) {
			w := startWatch(t, 10*time.Minute, 0)
			w.shows(t, unused, 10*time.Minute)
			w.endsAfter(t, 10*time.Minute)
		},
		"the time begins again with each command": func(t *testing.T) {
			w := startWatch(t, 10*time.Minute, 0)
			time.Sleep(9 * time.Minute) //nolint:forbidigo // of the bubble's time
			w.use(1)
			w.shows(t, inUse, 0)
			time.Sleep(3 * time.Hour) //nolint:forbidigo // of the bubble's time
			w.use(0)
			w.endsAfter(t, 3*time.Hour+19*time.Minute)
		},
		"the certificate ends": func(t *testing.T) {
			w := startWatch(t, time.Hour, 5*time.Minute)
			w.shows(t, unused, 5*time.Minute)
			w.endsAfter(t, 5*time.Minute)
		},
		"the certificate ends beside a command": func(t *testing.T) {
			w := startWatch(t, time.Hour, 5*time.Minute)
			w.use(1)
			w.shows(t, inUse, 0)
			time.Sleep(7 * time.Minute) //nolint:forbidigo // of the bubble's time
			synctest.Wait()
			w.shows(t, closing, 0)
			w.staysClosed(t)
			w.use(0)
			w.endsAfter(t, 7*time.Minute)
		},
		"no other command can join": func(t *testing.T) { // its socket was removed, or it is silent
			w := startWatch(t, time.Hour, 0)
			w.use(1)
			w.Shut()
			w.use(0)
			w.endsAfter(t, 0)
		},
		"its socket is removed while no command uses it": func(t *testing.T) {
			w := startWatch(t, time.Hour, 0)
			synctest.Wait()
			w.Shut()
			w.endsAfter(t, keeperCheckInterval)
		},
		"a command joins in the last moment": func(t *testing.T) { // of a connection that was silent and answers again
			w := startWatch(t, 10*time.Minute, 0)
			w.use(1)
			w.mu.Lock()
			w.shut, w.late = true, true // silent, until it answers again
			w.mu.Unlock()
			w.use(0)
			w.staysClosed(t)
			w.use(0)
			w.endsAfter(t, 0)
		},
		"the connection is lost": func(t *testing.T) {
			w := startWatch(t, time.Hour, 0)
			w.use(1)
			close(w.done)
			w.endsAfter(t, 0)
		},
		"it is asked to end": func(t *testing.T) {
			w := startWatch(t, time.Hour, 0)
			w.use(1)
			w.stop()
			w.shows(t, closing, 0)
			time.Sleep(3 * time.Hour) //nolint:forbidigo // of the bubble's time
			w.staysClosed(t)
			w.use(0)
			w.endsAfter(t, 3*time.Hour)
		},
		"it is asked to end while no command uses it": func(t *testing.T) {
			w := startWatch(t, time.Hour, 0)
			synctest.Wait()
			w.stop()
			w.endsAfter(t, 0)
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

// TestKeeperEnv: what ssh and our directories depend on stays, and no secret of another program.
func TestKeeperEnv(t *testing.T) {
	all := []string{"HOME=/h", "GITHUB_TOKEN=secret", "SSH_AUTH_SOCK=/s", "XDG_RUNTIME_DIR=/r", "CSCS_CONFIG=/c", "PATH=/bin", "HOMEBREW=x", "LC_ALL=C"}
	want := []string{"HOME=/h", "SSH_AUTH_SOCK=/s", "XDG_RUNTIME_DIR=/r", "CSCS_CONFIG=/c", "PATH=/bin", "LC_ALL=C"}
	if got := keeperEnv(all); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
