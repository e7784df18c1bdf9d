package registry

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/alps-tunnel/cscs/internal/jsonkeep"
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
		all := slices.DeleteFunc(s.readEnded(e.Ended), func(old endedNote) bool { return old.Known.ID == e.ID })
		return s.writeEnded(append(all, endedNote{Known: e}))
	})
}

// RemoveEnded removes the notes of sessions that turned out to be live.
func (s *Store) RemoveEnded(ids ...string) error {
	isNamed := func(e endedNote) bool { return slices.Contains(ids, e.Known.ID) }
	if !slices.ContainsFunc(s.readEnded(time.Now()), isNamed) {
		return nil
	}
	return s.withLock(func() error { return s.writeEnded(slices.DeleteFunc(s.readEnded(time.Now()), isNamed)) })
}

// writeEnded replaces the notes. The caller holds the lock of the store.
func (s *Store) writeEnded(all []endedNote) error {
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
	var all []Ended
	for _, e := range s.readEnded(now) {
		all = append(all, e.Known)
	}
	return all
}

// An endedNote is a note with the fields that another version of cscs has written into it.
type endedNote = jsonkeep.Object[Ended]

func (s *Store) readEnded(now time.Time) []endedNote {
	data, _, err := regular.Read(s.endedPath())
	if err != nil {
		return nil
	}
	var all []endedNote
	for line := range bytes.Lines(data) {
		var e endedNote
		if json.Unmarshal(line, &e) == nil && sessionid.IsID(e.Known.ID) && now.Sub(e.Known.Ended) < endedAge {
			all = append(all, e)
		}
	}
	return all
}

func (s *Store) endedPath() string { return filepath.Join(filepath.Dir(s.dir), "ended.json") }
