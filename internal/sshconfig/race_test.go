package sshconfig

import (
	"os"
	"testing"
	"time"
)

// TestWriteInPlace: nothing is written in the directory for temporary files, in which other users
// may rename what is there.
func TestWriteInPlace(t *testing.T) {
	f := files(t)
	write(t, f.Config, "Host x\n", 0o600)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	long := time.Unix(1, 0)
	for name, do := range map[string]func() error{
		"config": func() error { return f.Install(t.Context(), text(t)) },
		"keys": func() error {
			return Known(f.Known).Put(t.Context(), Prefix+"abcdefgh", "nid1", []string{hostKey}, time.Now(), func(string) bool { return true })
		},
	} {
		if err := os.Chtimes(tmp, long, long); err != nil {
			t.Fatal(err)
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(tmp); err != nil || !info.ModTime().Equal(long) {
			t.Errorf("%s: a file was made in %s: %v", name, tmp, err)
		}
	}
}
