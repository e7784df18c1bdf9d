package regular

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWriteInPlace: no file is made in the directory for temporary files, in which other users may
// rename what is there.
func TestWriteInPlace(t *testing.T) {
	tmp, file := t.TempDir(), filepath.Join(t.TempDir(), "config")
	t.Setenv("TMPDIR", tmp)
	long := time.Unix(1, 0)
	if err := os.Chtimes(tmp, long, long); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "second"} {
		if err := Write(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if info, err := os.Stat(tmp); err != nil || !info.ModTime().Equal(long) {
		t.Errorf("a file was made in %s: %v", tmp, err)
	}
}

// TestReplaceRefused: a refusal leaves the file as it is, and no other file.
func TestReplaceRefused(t *testing.T) {
	dir := t.TempDir()
	file, refusal := filepath.Join(dir, "config"), errors.New("no")
	if err := Write(file, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Replace(file, []byte("second"), 0o600, func() error { return refusal }); !errors.Is(err, refusal) {
		t.Error(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "first" {
		t.Errorf("%q, %v", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v", entries, err)
	}
}
