package live

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

// Ended is a session that has ended, as cscs ps still shows it for a while. It holds no secret.
type Ended struct {
	V         int       `json:"v"`
	ID        string    `json:"id"`
	App       string    `json:"app"`
	Cluster   string    `json:"cluster"`
	Job       string    `json:"job,omitempty"`
	Partition string    `json:"partition,omitempty"`
	Reason    string    `json:"reason,omitempty"` // why it ended
	Code      *int      `json:"code,omitempty"`   // the exit code; nil: no process of this machine had one
	Ended     time.Time `json:"ended"`
}

// The notes of ended sessions are bounded in number, age and size.
const (
	endedMost   = 20
	endedAge    = 7 * 24 * time.Hour
	endedReason = 400 // bytes
)

// NoteEnded notes a session that has ended. A session has one note.
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

// RemoveEnded removes the notes of sessions that live after all.
func (s *Store) RemoveEnded(ids ...string) error {
	isNamed := func(e Ended) bool { return slices.Contains(ids, e.ID) }
	if !slices.ContainsFunc(s.Ended(time.Now()), isNamed) {
		return nil
	}
	return s.withLock(func() error { return s.writeEnded(slices.DeleteFunc(s.Ended(time.Now()), isNamed)) })
}

// writeEnded replaces the notes. The store is locked.
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

// Ended returns the sessions that ended within a week before now, the last one last. A note that
// can't be read is left out.
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
