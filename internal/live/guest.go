package live

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

// A Guest is a process of this laptop that attends a session of which another has the
// record. It holds a lock of its own, beside that one, for as long as it lives.
type Guest struct {
	store *Store
	lock  *flock.Flock
}

const guestSuffix = ".guest"

// Join makes the process known as one that attends the session, too.
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

// Leave takes that back. A Guest that is nil has nothing.
func (g *Guest) Leave() {
	if g == nil {
		return
	}
	_ = g.store.withLock(func() error {
		_ = g.lock.Close() // Windows removes no open file
		return os.Remove(g.lock.Path())
	})
}

// collectGuests are the processes that attend sessions beside those that have their records, by
// the sessions' IDs. What one has left that was killed is removed.
func (s *Store) collectGuests() map[string][]int {
	all := map[string][]int{}
	files, _ := filepath.Glob(filepath.Join(s.dir, "*"+guestSuffix)) // of a good pattern
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

// isLockHeld reports whether a process holds the lock. A lock that cannot be tried (no descriptor, no
// memory, no locks on this file system) may be held: the caller must remove nothing then.
func isLockHeld(lock *flock.Flock) (bool, error) {
	defer lock.Close()
	ok, err := lock.TryRLock()
	return err == nil && !ok, err
}
