package registry

import (
	"errors"
	"os"
	"testing"
)

// TestUntriedLock: a lock that cannot be tried may be held. The record counts as attended, and nothing
// is removed.
func TestUntriedLock(t *testing.T) {
	s := Open(t.TempDir())
	take(t, s, Record{ID: "abcdefgh", State: Ready}).Leave()
	guest, err := s.Join("abcdefgh", 7)
	if err != nil {
		t.Fatal(err)
	}
	guest.Leave()
	for _, name := range []string{s.filePath("abcdefgh", ".lock"), s.filePath("abcdefgh", ".7.guest")} {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.Mkdir(name, 0o700); err != nil { // which opens as no lock does, for root too
			t.Fatal(err)
		}
	}
	all, err := s.List()
	if err != nil || len(all) != 1 || !all[0].Attended || len(all[0].Here) != 2 || all[0].State != Ready {
		t.Errorf("%+v, %v", all, err)
	}
	err = s.Forget("abcdefgh")
	if attended := (*AttendedError)(nil); err == nil || errors.As(err, &attended) {
		t.Errorf("forgotten: %v", err)
	}
	for _, suffix := range []string{".json", ".lock", ".7.guest"} {
		if _, err := os.Stat(s.filePath("abcdefgh", suffix)); err != nil {
			t.Error(err)
		}
	}
}
