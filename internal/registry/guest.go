package registry

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// A Guest is a process of this laptop that attends a session whose record another process has. It
// holds a lock of its own, next to that one, for as long as it runs.
type Guest struct {
	store *Store
	lock  *flock.Flock
}

const guestSuffix = ".guest"

// Join registers the process as one that also attends the session.
func (s *Store) Join(id string, pid int) (*Guest, error) {
	if err := sessionid.Check(id); err != nil {
		return nil, err
	}
	g := &Guest{store: s, lock: flock.New(s.filePath(id, "."+strconv.Itoa(pid)+guestSuffix), flock.SetPermissions(0o600))}
	err := s.withLock(func() error {
		if ok, err := g.lock.TryLock(); err != nil || !ok {
			_ = g.lock.Close()
			return fmt.Errorf("lock a place beside the record of session %s: %w", id, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// Leave ends the registration. It does nothing for a nil Guest.
func (g *Guest) Leave() {
	if g == nil {
		return
	}
	_ = g.store.withLock(func() error {
		_ = g.lock.Close() // Windows removes no open file
		return os.Remove(g.lock.Path())
	})
}

// collectGuests returns, by session ID, the processes that attend a session without having its
// record. It removes the files of killed ones.
func (s *Store) collectGuests() map[string][]int {
	all := map[string][]int{}
	files, _ := filepath.Glob(filepath.Join(s.dir, "*"+guestSuffix)) // the pattern is valid
	for _, f := range files {
		id, number, _ := strings.Cut(strings.TrimSuffix(filepath.Base(f), guestSuffix), ".")
		pid, err := strconv.Atoi(number)
		if err != nil || !sessionid.IsID(id) {
			continue
		}
		if locked, err := isLockHeld(flock.New(f, flock.SetPermissions(0o600))); locked || err != nil {
			all[id] = append(all[id], pid)
		} else {
			_ = os.Remove(f)
		}
	}
	for _, pids := range all {
		slices.Sort(pids)
	}
	return all
}

// isLockHeld reports whether a process holds the lock. If the lock cannot be tested (no descriptor,
// no memory, no locks on this file system), it may be held, and the caller must remove nothing.
func isLockHeld(lock *flock.Flock) (bool, error) {
	defer lock.Close()
	ok, err := lock.TryRLock()
	return err == nil && !ok, err
}
