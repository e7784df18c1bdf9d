package registry

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/alps-tunnel/cscs/internal/regular"
	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// Ended is a note of a session that has ended. cscs ps shows it for a week. It contains no secret.
type Ended struct {
	V         int       `json:"v"`
	ID        string    `json:"id"`
	App       string    `json:"app"`
	Cluster   string    `json:"cluster"`
	Job       string    `json:"job,omitempty"`
	Partition string    `json:"partition,omitempty"`
	Reason    string    `json:"reason,omitempty"`  // why it ended
	Code      *int      `json:"code,omitempty"`    // the exit code; nil: no process of this machine has seen the end
	Problem   string    `json:"problem,omitempty"` // the ID of the problem that ended it, in internal/problem
	Ended     time.Time `json:"ended"`
}

// Limits of the notes of ended sessions.
const (
	endedMost   = 20
	endedAge    = 7 * 24 * time.Hour
	endedReason = 400 // bytes
)

// NoteEnded adds the note of a session that has ended. It replaces an earlier note of that session.
func (s *Store) NoteEnded(e Ended) error {
	if err := sessionid.Check(e.ID); err != nil {
		return err
	}
	e.V, e.Ended = RecordVersion, e.Ended.UTC().Truncate(time.Second)
	for len(e.Reason) > endedReason {
		_, n := utf8.DecodeLastRuneInString(e.Reason)
		e.Reason = e.Reason[:len(e.Reason)-n]
	}
	return s.withLock(func() error {
		all := slices.DeleteFunc(s.Ended(e.Ended), func(old Ended) bool { return old.ID == e.ID })
		return s.writeEnded(append(all, e))
	})
}

// RemoveEnded removes the notes of sessions that turned out to be live.
func (s *Store) RemoveEnded(ids ...string) error {
	isNamed := func(e Ended) bool { return slices.Contains(ids, e.ID) }
	if !slices.ContainsFunc(s.Ended(time.Now()), isNamed) {
		return nil
	}
	return s.withLock(func() error { return s.writeEnded(slices.DeleteFunc(s.Ended(time.Now()), isNamed)) })
}

// writeEnded replaces the notes. The caller holds the lock of the store.
func (s *Store) writeEnded(all []Ended) error {
	if len(all) == 0 {
		return os.Remove(s.endedPath())
	}
	all = all[max(0, len(all)-endedMost):]
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	for _, e := range all {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return regular.Write(s.endedPath(), text.Bytes(), 0o600)
}

// Ended returns the sessions that ended within a week before now, the latest one last. It ignores
// notes that cannot be read.
func (s *Store) Ended(now time.Time) []Ended {
	data, _, err := regular.Read(s.endedPath())
	if err != nil {
		return nil
	}
	var all []Ended
	for line := range bytes.Lines(data) {
		var e Ended
		if json.Unmarshal(line, &e) == nil && sessionid.IsID(e.ID) && now.Sub(e.Ended) < endedAge {
			all = append(all, e)
		}
	}
	return all
}

func (s *Store) endedPath() string { return filepath.Join(filepath.Dir(s.dir), "ended.json") }
