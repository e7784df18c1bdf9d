package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

const (
	keeperReady = "ready" // last line of a keeper that commands can join
	notKept     = "the connection is not kept: "

	// States of a kept connection, as in its record.
	inUse     = "in use"
	unused    = "unused"
	closing   = "closing" // new commands cannot join it
	stillUsed = "closing; it ends with the last command that uses it"
)

// A keeping is what a command needs to keep its connection (--persist).
type keeping struct {
	flags []string // flags of the keeper, see newKeepCommand
	tell  func(warning string)
}

// newKeeping returns what keepConnection needs, or nil without --persist.
func (s *start) newKeeping() *keeping {
	if durationValue(s.opts.persist) == 0 || s.way.dir != "" { // the demo's cluster ends with its last user
		return nil
	}
	k := &keeping{flags: []string{"--cluster=" + s.cluster.Name, "--persist=" + lastValue(s.opts.persist)}}
	for flag, v := range map[string][]string{"user": s.opts.user, "identity": s.opts.identity} {
		if len(v) > 0 {
			k.flags = append(k.flags, "--"+flag+"="+lastValue(v))
		}
	}
	k.tell = func(m string) { s.emitEvent(session.Event{Event: session.EventWarning, Message: m}) }
	return k
}

// keepConnection starts a keeper if no process shares the connection that is about to be dialled. It waits
// until the keeper is ready or gives up. The command then dials as usual and joins the keeper if there is one.
// A connection that replaces the first one is not kept, since the user may have stopped the keeper.
func (w *way) keepConnection(ctx context.Context) {
	w.mu.Lock()
	k := w.keep
	w.keep = nil
	w.mu.Unlock()
	if k == nil {
		return
	}
	place := w.sharePlace()
	if place.Served() {
		return
	}
	if !peer.KnowsSockets {
		k.tell(notKept + "--persist is not available on this system")
		return
	}
	for i, h := range w.hops { // the user's ssh keeps its own connection
		if hasMaster(ctx, controlSocket(w.hosts[i], h.User)) {
			return
		}
	}
	if err := k.startKeeper(ctx, nameWay(place)); err != nil {
		k.tell(notKept + err.Error())
	}
}

// nameWay returns a hash of the hops, users and keys. Other users can see the command line that contains it.
func nameWay(place share.Rendezvous) string {
	sum := sha256.Sum256([]byte(strings.Join(place.Key, "\x00")))
	return hex.EncodeToString(sum[:])
}

// startKeeper returns when the keeper is ready, or has given up and printed the reason. If ctx ends first, the
// keeper ends.
func (k *keeping) startKeeper(ctx context.Context, way string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if runtime.GOOS == "linux" {
		self = "/proc/self/exe" // the executable may have been replaced since the start
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	// Not CommandContext: a keeper that others use already is asked to end, and never killed.
	cmd := exec.Command(self) //nolint:noctx // see above
	cmd.Args = append([]string{"cscs", keepCommand, "--way=" + way}, k.flags...)
	cmd.Env, cmd.Stdout, cmd.SysProcAttr = keeperEnv(os.Environ()), w, detachedProcAttr()
	closeInherited()
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return err
	}
	end := func() { _ = cmd.Process.Signal(syscall.SIGTERM) }
	release := context.AfterFunc(ctx, func() {
		end()
		_ = r.Close() // this process stops waiting
	})
	go func() { _ = cmd.Wait() }() // until the keeper or this process ends
	said := false
	for lines := bufio.NewScanner(r); lines.Scan(); said = true {
		if lines.Text() == keeperReady {
			release()
			return nil
		}
		if ctx.Err() == nil { // otherwise it reports the interruption
			k.tell(lines.Text())
		}
	}
	end()
	if !said && ctx.Err() == nil {
		return errors.New("its process has ended")
	}
	return nil
}

// keeperEnv returns the variables that ssh, its configuration and the directories of cscs depend on. Others may
// contain secrets, which must not stay in the background.
func keeperEnv(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		group, _, _ := strings.Cut(name, "_")
		return !slices.Contains([]string{"HOME", "USER", "LOGNAME", "SHELL", "PATH", "TMPDIR", "TZ", "LANG", "SSH_AUTH_SOCK"}, name) &&
			!slices.Contains([]string{"XDG", "CSCS", "LC"}, group)
	})
}

// keptConnections returns the kept connections, only those of cluster unless it is "". It removes the records
// of keepers that were killed.
func keptConnections(cluster string) (kept []registry.Listed, err error) {
	state, err := paths.StateDir()
	if err != nil {
		return nil, err
	}
	store := registry.OpenConnections(state)
	all, err := store.List()
	for _, l := range all {
		switch {
		case !l.Attended:
			_ = store.Forget(l.ID)
		case cluster == "" || cluster == l.Cluster:
			kept = append(kept, l)
		}
	}
	return kept, err
}

// connectionRows returns the kept connections as rows of cscs ps.
func connectionRows(all []registry.Listed) (rows []ui.ConnectionRow) {
	for _, l := range all {
		rows = append(rows, ui.ConnectionRow{V: registry.RecordVersion, Kind: "connection", Cluster: l.Cluster, User: l.Login, State: l.State,
			Begun: l.Begun, Ends: l.Ends, PID: l.PID})
	}
	return rows
}

// stopConnections ends the keepers and prints the results.
func (d *deps) stopConnections(ctx context.Context, cluster string) error {
	all, err := keptConnections(cluster)
	if len(all) == 0 && err == nil {
		d.say("no connection is kept")
		if cluster != "" {
			err = d.mustKnow(ctx, cluster)
		}
	}
	for _, l := range all {
		out, failed := registry.Reach(l.Record).Stop(ctx)
		if errors.As(failed, new(*registry.GoneError)) && l.State == closing { // it was asked before
			out.Reason, failed = stillUsed, nil
		}
		if failed != nil {
			err = fmt.Errorf("connection to %s as %s: its process does not answer: kill -9 %d", l.Cluster, l.Login, l.PID)
			continue
		}
		d.say(fmt.Sprintf("connection to %s as %s: %s", l.Cluster, l.Login, out.Reason))
	}
	return err
}
