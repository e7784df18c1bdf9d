package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/alps-tunnel/cscs/internal/jsonkeep"
	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/regular"
	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// A Store is the directory of the records.
type Store struct{ dir string }

// Open returns the store in the state directory, even if it does not exist yet.
func Open(state string) *Store { return &Store{dir: filepath.Join(state, "sessions")} }

// OpenConnections returns the store of the connections that this machine keeps without a session
// (--persist). Each machine that shares the directory has its own: none sees another's processes.
func OpenConnections(state string) *Store {
	host, _ := os.Hostname()
	return &Store{dir: filepath.Join(state, "connections", filepath.Base("/"+host))}
}

// Dir returns the path of the store.
func (s *Store) Dir() string { return s.dir }

// AttendedError reports that a process of this laptop attends the session.
type AttendedError struct{ ID string }

func (e *AttendedError) Error() string {
	return "session " + e.ID + " is attended by another process of this machine"
}

// An Entry is the record of a session that this process attends. It holds the record's lock.
type Entry struct {
	store  *Store
	id     string
	lock   *flock.Flock
	before jsonkeep.Object[Record] // as it was found, with the fields of other versions

	socket string // of Serve; removed before the lock is released; "": none
}

// Take locks the record of the session r.ID and writes r to it. The error is an [*AttendedError], a
// [*sessionid.Error], or one of the file system.
func (s *Store) Take(r Record) (*Entry, error) {
	if err := sessionid.Check(r.ID); err != nil {
		return nil, err
	}
	e := &Entry{store: s, id: r.ID}
	err := s.withLock(func() error {
		e.lock = s.lockOf(r.ID)
		ok, err := e.lock.TryLock()
		switch {
		case err != nil:
			return fmt.Errorf("lock the record of session %s: %w", r.ID, err)
		case !ok:
			_ = e.lock.Close()
			return &AttendedError{ID: r.ID}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.readUnknown()
	if err := e.Write(r); err != nil {
		_ = e.Remove()
		return nil, err
	}
	_ = s.RemoveEnded(r.ID) // a note that remains is not an error
	return e, nil
}

// lockTimeout is how long another process may hold the store's lock, for a few system calls.
const lockTimeout = 5 * time.Second

// withLock calls do while no other process takes, tests or removes a lock. Otherwise one process
// could remove a lock file while another opens it, and two would hold the lock.
func (s *Store) withLock(do func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	all, err := s.lockAll(ctx)
	if err != nil {
		return fmt.Errorf("lock the records in %s: %w", s.dir, err)
	}
	defer func() {
		if runtime.GOOS != "windows" {
			s.removeIfEmpty()
		}
		_ = all.Close()
		// Windows removes no file that a process has open. So the lock goes after its release there, unless another
		// process has opened it meanwhile.
		if runtime.GOOS == "windows" {
			s.removeIfEmpty()
		}
	}()
	return do()
}

// removalTries is how often lockAll meets what another process removes, a millisecond apart, before it gives up.
const removalTries = 300

// lockAll takes the lock of the store on the file that has its name. If another process has removed
// the file meanwhile, the lock on it excludes no process, and lockAll tries again.
func (s *Store) lockAll(ctx context.Context) (*flock.Flock, error) {
	name := filepath.Join(s.dir, ".lock")
	for tries := 0; ; tries++ {
		all := flock.New(name, flock.SetPermissions(0o600))
		err := owndir.Make(s.dir)
		if err == nil {
			_, err = all.TryLockContext(ctx, time.Millisecond)
		}
		if err == nil {
			held, heldErr := all.Stat()
			named, namedErr := os.Stat(name)
			if heldErr == nil && namedErr == nil && os.SameFile(held, named) {
				return all, nil
			}
		}
		_ = all.Close()
		// MkdirAll reports that a directory exists if another process removes it between two of its calls.
		again := err == nil ||
			tries < removalTries && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || mayBeInRemoval(err))
		if !again || ctx.Err() != nil {
			return nil, cmp.Or(err, ctx.Err())
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
}

// removeIfEmpty removes a store that contains only its lock, and then the directory above if that is
// empty. The lock is held, except on Windows.
func (s *Store) removeIfEmpty() {
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) != 1 || os.Remove(filepath.Join(s.dir, ".lock")) != nil {
		return
	}
	if owndir.RemoveEmpty(s.dir) == nil {
		_ = owndir.RemoveEmpty(filepath.Dir(s.dir))
	}
}

func (s *Store) lockOf(id string) *flock.Flock {
	return flock.New(s.filePath(id, ".lock"), flock.SetPermissions(0o600))
}

func (s *Store) filePath(id, suffix string) string { return filepath.Join(s.dir, id+suffix) }

// readUnknown reads the fields that another version has written into the record, so that Write keeps them. A file that
// is no record of the session has none.
func (e *Entry) readUnknown() {
	b, _, err := regular.Read(e.store.filePath(e.id, ".json"))
	if err != nil || json.Unmarshal(b, &e.before) != nil || e.before.Known.ID != e.id {
		e.before = jsonkeep.Object[Record]{}
	}
}

// Write replaces the record atomically. It keeps the fields that this version does not know.
func (e *Entry) Write(r Record) error {
	r.ID, r.V, r.Seen = e.id, RecordVersion, time.Now().UTC().Truncate(time.Second)
	record := e.before // a copy, since Write may be called by several goroutines
	record.Known = r
	b, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	if err := regular.Write(e.store.filePath(e.id, ".json"), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the record of session %s: %w", e.id, err)
	}
	return nil
}

// Leave releases the session and keeps its record for other processes.
func (e *Entry) Leave() {
	e.removeSocket()
	_ = e.lock.Close()
}

// Serve opens the control socket of this process, which answers until it is closed. Leave and
// Remove remove its file while the lock is held: afterwards the name belongs to the next process.
func (e *Entry) Serve(process Controlled) (*Control, error) {
	c, err := Serve(e.store.dir, e.id, process)
	if err == nil {
		e.socket = c.Path()
	}
	return c, err
}

func (e *Entry) removeSocket() {
	if e.socket != "" {
		_ = os.Remove(e.socket)
	}
}

// Remove releases the session and removes its record.
func (e *Entry) Remove() error {
	return e.store.withLock(func() error {
		defer e.lock.Close()
		err := os.Remove(e.store.filePath(e.id, ".json"))
		e.removeSocket()
		_ = e.lock.Close() // Windows removes no open file; no other process opens it now
		_ = os.Remove(e.lock.Path())
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// Tidy removes the store if it is empty. It is for a caller that has removed a record and then
// closed its Control, whose socket may be in the store too.
func (e *Entry) Tidy() { _ = e.store.withLock(func() error { return nil }) }

// A Listed is a record as it was found.
type Listed struct {
	Record
	Attended bool  // a live process of this laptop attends the session and has its record
	Here     []int // PIDs of all processes that attend it, that one first
	Expired  bool  // it has ended by this machine's clock, which may be ahead: only the cluster knows
}

// List returns the records, oldest first. It ignores a record that cannot be read.
func (s *Store) List() ([]Listed, error) {
	if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no session ever ran here, so the store is not made
	}
	var all []Listed
	err := s.withLock(func() error {
		files, err := os.ReadDir(s.dir)
		guests := s.collectGuests()
		for _, f := range files {
			if id, ok := strings.CutSuffix(f.Name(), ".json"); ok && sessionid.IsID(id) {
				if l, ok := s.readRecord(id); ok {
					l.Here = append(l.Here, guests[id]...)
					all = append(all, l)
				}
			}
		}
		return err
	})
	slices.SortStableFunc(all, func(a, b Listed) int { return a.Begun.Compare(b.Begun) })
	return all, err
}

// readRecord reads the record of a session and corrects its state if its process has died. ok is
// false if the record cannot be read.
func (s *Store) readRecord(id string) (l Listed, ok bool) {
	b, err := os.ReadFile(s.filePath(id, ".json"))
	if err != nil || json.Unmarshal(b, &l.Record) != nil || l.ID != id {
		return l, false
	}
	locked, err := s.isAttended(l.ID)
	if l.Attended = locked || err != nil; l.Attended {
		l.Here = []int{l.PID}
	}
	if waits := l.State == Queued && l.Kept; !l.Attended && l.State != Detached && l.State != Left && !waits {
		l.State, l.Reason, l.Start = Unattended, "", nil
	}
	l.Expired = !l.Attended && l.State != Left && l.Over(time.Now())
	return l, true
}

// isAttended reports whether the record's lock is held: see isLockHeld.
func (s *Store) isAttended(id string) (bool, error) {
	lock := s.lockOf(id)
	if _, err := os.Stat(lock.Path()); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return isLockHeld(lock)
}

// Forget removes the record of a session that has ended. The error is an [*AttendedError] if a
// process attends the session.
func (s *Store) Forget(id string) error {
	if err := sessionid.Check(id); err != nil {
		return err
	}
	return s.withLock(func() error {
		switch locked, err := s.isAttended(id); {
		case err != nil:
			return fmt.Errorf("see whether session %s is attended: %w", id, err)
		case locked:
			return &AttendedError{ID: id}
		}
		_ = os.Remove(s.filePath(id, ".lock"))
		for _, dir := range []string{s.dir, shortDir()} {
			if owndir.Check(dir) == nil { // otherwise the files there are another user's
				_ = os.Remove(filepath.Join(dir, id+sockSuffix)) // of a killed process
			}
		}
		err := os.Remove(s.filePath(id, ".json"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// UnknownError reports that no session has that ID or prefix.
type UnknownError struct {
	Prefix string // "": the only session was requested, and there is none
	Known  []string
}

func (e *UnknownError) Error() string {
	if e.Prefix == "" {
		return "there is no live session"
	}
	return "no live session has the ID " + e.Prefix
}

// AmbiguousError reports that several sessions match.
type AmbiguousError struct {
	Prefix string // "": there is more than one session
	IDs    []string
}

func (e *AmbiguousError) Error() string {
	if e.Prefix == "" {
		return fmt.Sprintf("there are %d live sessions", len(e.IDs))
	}
	return fmt.Sprintf("%s is the beginning of %d IDs", e.Prefix, len(e.IDs))
}

// Find returns the one record whose ID begins with prefix. With "", it returns the only record that
// has not expired or, if all have expired, the only one. The error is an [*UnknownError] or an
// [*AmbiguousError].
func Find(all []Listed, prefix string) (Listed, error) {
	if prefix == "" {
		alive := slices.DeleteFunc(slices.Clone(all), func(l Listed) bool { return l.Expired })
		if len(alive) > 0 {
			all = alive
		}
	}
	var found, ids []string
	var hit Listed
	for _, l := range all {
		ids = append(ids, l.ID)
		if l.ID == prefix {
			return l, nil
		}
		if strings.HasPrefix(l.ID, strings.ToLower(prefix)) {
			hit, found = l, append(found, l.ID)
		}
	}
	switch len(found) {
	case 0:
		return Listed{}, &UnknownError{Prefix: prefix, Known: ids}
	case 1:
		return hit, nil
	}
	return Listed{}, &AmbiguousError{Prefix: prefix, IDs: found}
}
