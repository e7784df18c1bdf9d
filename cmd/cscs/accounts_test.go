package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// twoAccounts makes a home with a detached session of alice's, whose key is the usual one, and one of
// mallory's. It returns their IDs. named: alice's key is given, too.
func twoAccounts(t *testing.T, named bool) (ids map[string]string, mallorysKey string) {
	t.Helper()
	dir := home(t, "")
	mallorysKey = filepath.Join(dir, "mallory-key")
	if err := newKey(mallorysKey, "mallory", time.Hour, ""); err != nil {
		t.Fatal(err)
	}
	ids = map[string]string{"carol": "carols22"} // hers was begun elsewhere
	var alices []string
	if named {
		alices = []string{"--identity", filepath.Join(dir, ".ssh", "cscs-key")}
	}
	for account, flags := range map[string][]string{"alice": alices, "mallory": {"--identity", mallorysKey}} {
		d := silentDeps()
		d.run = func(_ context.Context, cfg session.Config, emit func(session.Event)) error {
			ids[account] = cfg.ID
			emit(session.Event{Event: session.EventGranted, Job: "7"})
			emit(session.Event{Event: session.EventDetached})
			return nil
		}
		if code := runCommandLine(t.Context(), append([]string{"run", "-c", "daint", "--detach"}, append(flags, "--", "x")...), d); code != 0 {
			t.Fatalf("exit code %d", code)
		}
	}
	return ids, mallorysKey
}

func silentDeps() *deps {
	return &deps{io: &ui.IO{Out: new(bytes.Buffer), Err: new(bytes.Buffer)}}
}

// accounts returns the accounts of the sessions with those IDs.
func accounts(ids map[string]string, has func(id string) bool) []string {
	all := []string{}
	for account, id := range ids {
		if has(id) {
			all = append(all, account)
		}
	}
	slices.Sort(all)
	return all
}

// knownAccounts returns the accounts of the sessions that this machine knows, and of those that it
// notes as ended.
func knownAccounts(t *testing.T, ids map[string]string) (known, ended []string) {
	t.Helper()
	store, all, err := loadRecords()
	if err != nil {
		t.Fatal(err)
	}
	known = accounts(ids, func(id string) bool {
		return slices.ContainsFunc(all, func(l registry.Listed) bool { return l.ID == id })
	})
	ended = accounts(ids, func(id string) bool {
		return slices.ContainsFunc(store.Ended(time.Now()), func(e registry.Ended) bool { return e.ID == id })
	})
	return known, ended
}

// TestRefreshOfAccounts: ps --refresh asks a cluster as each account that this machine knows there,
// and forgets a session only if its own account does not have it.
func TestRefreshOfAccounts(t *testing.T) {
	type names = []string
	for _, c := range []struct {
		name                string
		flags               func(mallorysKey string) []string
		there               map[string]bool // whether the session of an account is on the cluster; none: there is no answer
		asked, known, ended names
	}{
		{"all there", nil, map[string]bool{"alice": true, "mallory": true}, names{"alice", "mallory"}, names{"alice", "mallory"}, names{}},
		{"one ended", nil, map[string]bool{"alice": false, "mallory": true}, names{"alice", "mallory"}, names{"mallory"}, names{"alice"}},
		{"the other ended", nil, map[string]bool{"alice": true, "mallory": false}, names{"alice", "mallory"}, names{"alice"}, names{"mallory"}},
		{"one that cannot be asked", nil, map[string]bool{"mallory": false}, names{"alice", "mallory"}, names{"alice"}, names{"mallory"}},
		{"one account by its key", func(key string) []string { return []string{"--user", "mallory", "--identity", key} },
			map[string]bool{"mallory": false}, names{"mallory"}, names{"alice"}, names{"mallory"}},
		{"all by another key", func(key string) []string { return []string{"--identity", key} },
			map[string]bool{"mallory": true}, names{"mallory"}, names{"alice", "mallory"}, names{}},
		{"an account that is not known here", func(string) []string { return []string{"--user", "carol"} },
			map[string]bool{"carol": true}, names{"carol"}, names{"alice", "mallory"}, names{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ids, key := twoAccounts(t, false)
			d := silentDeps()
			asked := []string{}
			d.list = func(_ context.Context, r *connect.Route) ([]slurm.Found, []slurm.Swept, error) {
				user := r.Login().User
				asked = append(asked, user)
				there, answers := c.there[user]
				switch {
				case !answers:
					return nil, nil, errors.New("no answer")
				case !there:
					return nil, nil, nil
				}
				return []slurm.Found{{ID: ids[user], Job: "7", State: "RUNNING", Serving: true, Left: true}}, nil, nil
			}
			args := []string{"ps", "--refresh", "-c", "daint"}
			if c.flags != nil {
				args = append(args, c.flags(key)...)
			}
			_ = runCommandLine(t.Context(), args, d)
			slices.Sort(asked)
			known, ended := knownAccounts(t, ids)
			if diff := cmp.Diff([3][]string{c.asked, c.known, c.ended}, [3][]string{asked, known, ended}); diff != "" {
				t.Errorf("asked, known afterwards, and noted as ended (-want +got):\n%s\n%s", diff, d.io.Err)
			}
		})
	}
}

// TestForgottenSessionLives: a session that was noted as ended and that the cluster still has is not
// shown as both.
func TestForgottenSessionLives(t *testing.T) {
	ids, _ := twoAccounts(t, false)
	store, _, err := loadRecords()
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"alice", "mallory"} {
		if err := store.NoteEnded(registry.Ended{ID: ids[account], Cluster: "daint", Ended: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if err := store.Forget(ids[account]); err != nil {
			t.Fatal(err)
		}
	}
	d := silentDeps()
	d.list = func(context.Context, *connect.Route) ([]slurm.Found, []slurm.Swept, error) {
		return []slurm.Found{{ID: ids["alice"], Job: "7", State: "RUNNING", Serving: true, Left: true}}, nil, nil
	}
	if code := runCommandLine(t.Context(), []string{"ps", "--refresh", "-c", "daint"}, d); code != 0 {
		t.Fatalf("exit code %d: %s", code, d.io.Err)
	}
	if _, ended := knownAccounts(t, ids); !slices.Equal(ended, []string{"mallory"}) {
		t.Errorf("noted as ended: %v", ended)
	}
}

// TestStopOfAccounts: cscs stop goes to each session as its own user, and another user that is given
// is not proof that a session has ended.
func TestStopOfAccounts(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  func(ids map[string]string, mallorysKey string) []string
		asked map[string]bool // the account that each session was sought as, and whether it was looked for
		known []string
	}{
		{"all", func(map[string]string, string) []string { return []string{"--all"} }, map[string]bool{"alice as alice": false, "mallory as mallory": false}, []string{}},
		{"one as another user", func(ids map[string]string, key string) []string { return []string{ids["alice"], "--identity", key} },
			map[string]bool{"alice as mallory": true}, []string{"alice", "mallory"}},
		{"one by its user's name", func(ids map[string]string, _ string) []string { return []string{ids["alice"], "--user", "alice"} },
			map[string]bool{"alice as alice": false}, []string{"mallory"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ids, key := twoAccounts(t, true)
			asked := map[string]bool{}
			d := silentDeps()
			d.end = func(_ context.Context, cfg session.Config, find bool, _ func(session.Event)) error {
				account := accounts(ids, func(id string) bool { return id == cfg.ID })[0]
				user := cfg.Hops[len(cfg.Hops)-1].User
				asked[account+" as "+user] = find
				if find && user != account {
					return &session.NotThereError{Prefix: cfg.ID, Cluster: cfg.Cluster}
				}
				return nil
			}
			_ = runCommandLine(t.Context(), append([]string{"stop"}, c.args(ids, key)...), d)
			if diff := cmp.Diff(c.asked, asked); diff != "" {
				t.Errorf("sought (-want +got):\n%s\n%s", diff, d.io.Err)
			}
			if known, _ := knownAccounts(t, ids); !slices.Equal(known, c.known) {
				t.Errorf("known afterwards: %v, want %v", known, c.known)
			}
		})
	}
}
