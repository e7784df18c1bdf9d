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
)

// An Entry is a signing of which this machine has a note.
type Entry struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Serial  uint64    `json:"serial,string"`
	Until   time.Time `json:"until"` // zero: for ever
	Path    string    `json:"path"`
	Short   bool      `json:"short,omitempty"` // for a minute; does not count
	Revoked bool      `json:"revoked,omitempty"`
}

// day is for how long a signing counts, and twice that is how long it is remembered.
const day = 24 * time.Hour

// A Journal remembers the signings of this machine: CSCS gives five a day.
type Journal struct{ path string }

// OpenJournal returns the journal in the state directory, whether it is there yet or not.
func OpenJournal(state string) Journal { return Journal{filepath.Join(state, "signed.json")} }

// Used is how many signings of the service, and of those that are counted with it, count at a time:
// those of the last day that have neither expired nor been revoked.
func (j Journal) Used(service string, now time.Time, with ...string) int {
	n := 0
	for _, e := range j.read() {
		if (e.Service == service || slices.Contains(with, e.Service)) && !e.Short && !e.Revoked && now.Sub(e.Time) < day && (e.Until.IsZero() || now.Before(e.Until)) {
			n++
		}
	}
	return n
}

// Latest is the service among these by which a key was signed last, within the time that is
// remembered; "" for none.
func (j Journal) Latest(among func(service string) bool) string {
	for _, e := range slices.Backward(j.read()) {
		if !e.Short && among(e.Service) {
			return e.Service
		}
	}
	return ""
}

// Add writes an entry down. Whoever does holds the lock of the key; two keys at once may
// lose one entry, which is only for counting.
func (j Journal) Add(e Entry) error {
	entries := slices.DeleteFunc(j.read(), func(old Entry) bool { return e.Time.Sub(old.Time) > 2*day })
	return j.write(append(entries, e))
}

// Revoke notes that a certificate is not good any more.
func (j Journal) Revoke(serial uint64) error {
	entries := j.read()
	for i := range entries {
		if entries[i].Serial == serial {
			entries[i].Revoked = true
		}
	}
	return j.write(entries)
}

// read is what can be read: lines that cannot be understood are nobody's.
func (j Journal) read() []Entry {
	data, err := os.ReadFile(j.path)
	if err != nil {
		return nil
	}
	return parseJournal(data)
}

func parseJournal(data []byte) (entries []Entry) {
	for line := range bytes.Lines(data) {
		var e Entry
		if json.Unmarshal(line, &e) == nil && !e.Time.IsZero() {
			entries = append(entries, e)
		}
	}
	return entries
}

func (j Journal) write(entries []Entry) error {
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
	f, err := b.stageFile("", 0o600)
	if err != nil {
		return err
	}
	if err := f.write(text.Bytes()); err != nil {
		return err
	}
	return b.commit()
}
