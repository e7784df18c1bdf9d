package connect

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/sessionid"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/session"
)

const (
	keeperDialTimeout   = 10 * time.Second // for each hop; after that the command dials itself
	keeperCheckInterval = 10 * time.Second // between checks of the socket and of the time, which includes sleep
)

var (
	errAgentPrompts = errors.New("your ssh agent does not answer at once: it may ask for a confirmation")
	errRouteDiffers = errors.New("a process in the background finds other hosts or keys; it lacks most environment variables")
)

// A KeeperConfig describes a keeper, the process that --persist leaves in the background.
type KeeperConfig struct {
	Sites     *site.Config
	Cluster   site.Cluster
	Overrides site.Overrides
	Route     string                  // the route of the command that has started it, as its Keeping passed it on
	Unused    time.Duration           // the keeper ends when no command has used the connection for that long
	End       func(cause error)       // ends the context of RunKeeper
	Print     func(line string) error // prints a line for that command
}

// RunKeeper dials as any command does, serves the connection and watches it until its end. It asks no questions.
// It prints warnings, and then "ready" once commands can join the connection, or another process that shares it.
func RunKeeper(ctx context.Context, cfg KeeperConfig) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	asks := func() { giveUp(errAgentPrompts) }
	agents := &key.Lists{Waiting: func(string) { asks() }}
	r, err := FindRoute(agents.In(ctx), cfg.Sites, cfg.Cluster, Options{Overrides: cfg.Overrides})
	if err != nil {
		return CancellationCause(ctx, err)
	}
	place := r.rendezvous()
	if hashRoute(place) != cfg.Route {
		return errRouteDiffers
	}
	told := map[string]bool{}
	r.TakeWarnings(told) // the command has printed these
	r.masterTried = true // a keeper does not keep the connection of the user's ssh
	opts := r.options
	opts.Asking, opts.Timeout = asks, keeperDialTimeout
	// Do first what can fail: other commands may join as soon as the connection is shared.
	k := &keeper{end: cfg.End, unused: cfg.Unused, until: time.Now().AddDate(1, 0, 0)}
	if err := k.openRecord(cfg.Cluster.Name, r.hops[len(r.hops)-1].User); err != nil {
		return err
	}
	defer k.closeRecord()
	c, err := share.Own(ctx, place, opts, r.dialHops)
	switch {
	case errors.Is(err, share.ErrTaken): // the command can join that process
		_ = cfg.Print(keeperReady)
		return nil
	case err != nil:
		return CancellationCause(ctx, r.RefusalCause(err))
	}
	defer c.Close()
	for _, id := range r.keys {
		if !id.ValidBefore.IsZero() && id.ValidBefore.Before(k.until) {
			k.until = id.ValidBefore
		}
	}
	for _, m := range append(r.TakeWarnings(told), keeperReady) {
		if err := cfg.Print(m); err != nil {
			giveUp(err) // the command was killed
		}
	}
	_ = os.Chdir("/") // the command's directory may be removed or unmounted later
	k.watchConnection(ctx, c)
	return nil
}

// A keeper has a record and a control socket, over which other commands end it. It implements registry.Controlled.
type keeper struct {
	end    func(cause error)
	answer func(reason string) // answers the command that asked for the end; only the first call counts
	unused time.Duration       // the keeper ends when no command has used the connection for that long
	until  time.Time           // and when the certificate expires; without one, after a year
	rec    registry.Record
	entry  *registry.Entry
}

// openRecord makes the record and the control socket of the keeper.
func (k *keeper) openRecord(cluster, user string) error {
	state, err := paths.StateDir()
	if err != nil {
		return err
	}
	k.rec = registry.Record{ID: sessionid.New(), App: "connection", Cluster: cluster, Login: user, State: unused,
		Begun: time.Now().UTC().Truncate(time.Second), PID: os.Getpid()}
	if k.entry, err = registry.OpenConnections(state).Take(k.rec); err != nil {
		return err
	}
	control, err := k.entry.Serve(k)
	if err != nil {
		return errors.Join(err, k.entry.Remove())
	}
	k.answer = func(reason string) { control.Close(registry.Outcome{Reason: reason}) }
	k.rec.Control = control.Path()
	if err := k.entry.Write(k.rec); err != nil {
		k.closeRecord()
		return err
	}
	return nil
}

// closeRecord removes the record and answers the command that asked for the keeper's end.
func (k *keeper) closeRecord() {
	_ = k.entry.Remove()
	k.answer("closed")
	k.entry.Tidy()
}

// writeRecord writes the record. It ignores errors: the record is then out of date.
func (k *keeper) writeRecord(n int, open bool, ends time.Time) {
	at := ends.UTC().Truncate(time.Second)
	k.rec.State, k.rec.Ends = inUse, nil
	if !open {
		k.rec.State = closing
	} else if n == 0 {
		k.rec.State, k.rec.Ends = unused, &at
	}
	_ = k.entry.Write(k.rec)
}

// A watchedConnection is the part of *share.Chain that a keeper watches.
type watchedConnection interface {
	Users() (n int, open bool, changed <-chan struct{})
	Shut()
	Done() <-chan struct{}
}

func countUsers(c watchedConnection) int {
	n, _, _ := c.Users()
	return n
}

// watchConnection returns when the connection is lost, or when no command uses it and none can join. None can
// join while the connection is silent. Nor can one after k.unused without use, the end of the certificate or of
// ctx, or the removal of the socket. Commands that still use it keep it: a session that moves would lose what
// is open in the browser.
func (k *keeper) watchConnection(ctx context.Context, c watchedConnection) {
	used, asked := time.Now().Round(0), ctx.Done()
	for news := true; ; {
		n, open, changed := c.Users()
		now, ends := time.Now().Round(0), used.Add(k.unused)
		if k.until.Before(ends) {
			ends = k.until
		}
		if over := !now.Before(k.until) || n == 0 && !now.Before(ends); open && over || !open && n == 0 {
			// A silent connection that answers again accepts clients until Shut, so count them after Shut.
			if c.Shut(); countUsers(c) == 0 {
				return
			}
			news = true
			continue
		}
		if news {
			k.writeRecord(n, open, ends)
		}
		wait := keeperCheckInterval
		if n == 0 {
			wait = min(wait, ends.Sub(now))
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed: // a command has joined or left
			used, news = time.Now().Round(0), true
		case <-timer.C:
			news = false
		case <-c.Done():
			return
		case <-asked:
			c.Shut()
			if countUsers(c) > 0 {
				k.answer(stillUsed)
			}
			asked, news = nil, true
		}
		timer.Stop()
	}
}

// Link implements registry.Controlled.
func (k *keeper) Link() string { return "" }

// Enter implements registry.Controlled.
func (k *keeper) Enter() (string, []string) { return "", nil }

// Stop implements registry.Controlled.
func (k *keeper) Stop() { k.end(session.ErrStopped) }

// Detach implements registry.Controlled.
func (k *keeper) Detach() { k.Stop() }
