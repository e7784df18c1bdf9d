package registry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestLockOfEmptyStore: the lock of a store that is empty goes after each use, and others that want it at that
// moment wait.
func TestLockOfEmptyStore(t *testing.T) {
	s := Open(filepath.Join(t.TempDir(), "state"))
	var holders, uses atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if err := s.withLock(func() error {
					if n := holders.Add(1); n != 1 {
						t.Errorf("%d hold the lock", n)
					}
					uses.Add(1)
					holders.Add(-1)
					return nil
				}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if _, err := os.Stat(s.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of the empty store: %v", err)
	}
	if n := uses.Load(); n != 800 {
		t.Errorf("%d uses", n)
	}
}
