package registry

import (
	"os"
	"testing"
	"time"
)

// TestWriteInPlace: a record is not written in the directory for temporary files, in which other
// users may rename what is there.
func TestWriteInPlace(t *testing.T) {
	tmp, s := t.TempDir(), Open(t.TempDir())
	t.Setenv("TMPDIR", tmp)
	long := time.Unix(1, 0)
	if err := os.Chtimes(tmp, long, long); err != nil {
		t.Fatal(err)
	}
	e, err := s.Take(Record{ID: "aaaaaaaa", State: Ready})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(tmp); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("a file was made in %s: %v", tmp, err)
	}
	if err := e.Remove(); err != nil {
		t.Error(err)
	}
}
