package signing

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/alps-tunnel/cscs/internal/jsonkeep"
)

// An Entry is a signing that this machine has recorded.
type Entry struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Serial  uint64    `json:"serial,string"`
	Until   time.Time `json:"until"` // zero: forever
	Path    string    `json:"path"`
	Short   bool      `json:"short,omitempty"` // for a minute; not counted
	Revoked bool      `json:"revoked,omitempty"`
}

// day is how long a signing counts. An entry is kept for twice that.
const day = 24 * time.Hour

// A Journal records the signings of this machine, since CSCS gives five a day.
type Journal struct{ path string }

// OpenJournal returns the journal in the state directory. Its file need not exist.
func OpenJournal(state string) Journal { return Journal{filepath.Join(state, "signed.json")} }

// Used returns how many signings count for the service and for those in with. These are the signings of
// the last day that have neither expired nor been revoked.
func (j Journal) Used(service string, now time.Time, with ...string) int {
	n := 0
	for _, line := range j.read() {
		e := line.Known
		if (e.Service == service || slices.Contains(with, e.Service)) && !e.Short && !e.Revoked && now.Sub(e.Time) < day && (e.Until.IsZero() || now.Before(e.Until)) {
			n++
		}
	}
	return n
}

// Latest returns the one of these services that signed last, or "" if the journal has none.
func (j Journal) Latest(among func(service string) bool) string {
	for _, line := range slices.Backward(j.read()) {
		if e := line.Known; !e.Short && among(e.Service) {
			return e.Service
		}
	}
	return ""
}

// Add records a signing. Its caller holds the lock of the key. Two keys at once may lose one entry,
// which is only for counting.
func (j Journal) Add(e Entry) error {
	entries := slices.DeleteFunc(j.read(), func(old journalLine) bool { return e.Time.Sub(old.Known.Time) > 2*day })
	return j.write(append(entries, journalLine{Known: e}))
}

// Revoke records that a certificate was revoked.
func (j Journal) Revoke(serial uint64) error {
	entries := j.read()
	for i := range entries {
		if entries[i].Known.Serial == serial {
			entries[i].Known.Revoked = true
		}
	}
	return j.write(entries)
}

// A journalLine is an entry with the fields that another version of cscs has written into it.
type journalLine = jsonkeep.Object[Entry]

// read returns all entries. It ignores lines that it cannot parse.
func (j Journal) read() []journalLine {
	data, err := os.ReadFile(j.path)
	if err != nil {
		return nil
	}
	return parseJournal(data)
}

func parseJournal(data []byte) (entries []journalLine) {
	for line := range bytes.Lines(data) {
		var e journalLine
		if json.Unmarshal(line, &e) == nil && !e.Known.Time.IsZero() {
			entries = append(entries, e)
		}
	}
	return entries
}

// write replaces the journal's file, or removes it if there are no entries.
func (j Journal) write(entries []journalLine) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	for _, e := range entries {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	if text.Len() == 0 {
		if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	b := newBatch(j.path)
	defer b.discard()
	f, err := b.stageFile(privatePart)
	if err != nil {
		return err
	}
	if err := f.write(text.Bytes()); err != nil {
		return err
	}
	return b.commit()
}
