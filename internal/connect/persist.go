package connect

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/spawn"
)

// NotKept begins the warnings on why a connection is not kept.
const NotKept = "the connection is not kept: "

const (
	keeperReady = "ready" // last line of a keeper that commands can join

	// States of a kept connection, as in its record.
	inUse     = "in use"
	unused    = "unused"
	closing   = "closing" // new commands cannot join it
	stillUsed = "closing; it ends with the last command that uses it"
)

// A Keeping says how the connection of a command is kept (--persist).
type Keeping struct {
	Args func(route string) []string // arguments of the keeper's process, see KeeperConfig
	Warn func(message string)        // tells the user why the connection is not kept
}

// keepConnection starts a keeper if no process shares the connection that is about to be dialled. It waits
// until the keeper is ready or gives up. The command then dials as usual and joins the keeper if there is one.
// A connection that replaces the first one is not kept, since the user may have stopped the keeper.
func (r *Route) keepConnection(ctx context.Context) {
	r.mu.Lock()
	k := r.keep
	r.keep = nil
	r.mu.Unlock()
	if k == nil {
		return
	}
	place := r.rendezvous()
	if place.Served() {
		return
	}
	if !peer.KnowsSockets {
		k.Warn(NotKept + "--persist is not available on this system")
		return
	}
	for i, h := range r.hops { // the user's ssh keeps its own connection
		if hasMaster(ctx, controlSocket(r.hosts[i], h.User)) {
			return
		}
	}
	if err := k.startKeeper(ctx, hashRoute(place)); err != nil {
		k.Warn(NotKept + err.Error())
	}
}

// hashRoute returns a hash of the hops, users and keys. Other users can see the command line that contains it.
func hashRoute(place share.Rendezvous) string {
	sum := sha256.Sum256([]byte(strings.Join(place.Key, "\x00")))
	return hex.EncodeToString(sum[:])
}

// startKeeper returns when the keeper is ready, or has given up and printed the reason. If ctx ends first, the
// keeper ends.
func (k *Keeping) startKeeper(ctx context.Context, route string) error {
	self, err := spawn.Executable()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	// Not CommandContext: a keeper that others use already is asked to end, and never killed.
	cmd := exec.Command(self) //nolint:noctx // see above
	cmd.Args = append([]string{"cscs"}, k.Args(route)...)
	cmd.Env, cmd.Stdout, cmd.SysProcAttr = keeperEnv(os.Environ()), w, spawn.Detached()
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
			k.Warn(lines.Text())
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

// ListKept returns the kept connections, only those of cluster unless it is "". It removes the records
// of keepers that were killed.
func ListKept(cluster string) (kept []registry.Listed, err error) {
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

// StopKeeper asks the keeper of a connection to end, and returns the result for the user.
func StopKeeper(ctx context.Context, l registry.Listed) (result string, err error) {
	out, err := registry.Reach(l.Record).Stop(ctx)
	if errors.As(err, new(*registry.GoneError)) && l.State == closing { // it was asked before
		return stillUsed, nil
	}
	return out.Reason, err
}
