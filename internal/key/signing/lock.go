package signing

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/alps-tunnel/cscs/internal/regular"
	"github.com/alps-tunnel/cscs/internal/runclock"
)

// A BusyError reports that another process holds the lock of the key for too long.
type BusyError struct{ Path string }

func (e *BusyError) Error() string { return "another cscs is having " + e.Path + " signed" }

// lockTimeout is for another process that has the key signed. Its user may be in the browser.
const lockTimeout = 5 * time.Minute

// lockKey locks the key at path against other processes until release is called.
func lockKey(ctx context.Context, state, path string, waiting func()) (release func(), err error) {
	path = realPath(path)
	for _, dir := range []string{state, filepath.Dir(path)} {
		if err := checkOwner(dir); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, &WriteError{Path: state, Err: regular.Reason(err)}
	}
	// Not beside the key: no file of ours may stay there.
	sum := sha256.Sum256([]byte(path))
	l := flock.New(filepath.Join(state, fmt.Sprintf("sign-%x.lock", sum[:8])), flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err == nil && !ok {
		if waiting != nil {
			waiting()
		}
		limited, cancel := runclock.WithTimeoutCause(ctx, lockTimeout, nil)
		defer cancel()
		ok, err = l.TryLockContext(limited, 100*time.Millisecond)
		if !ok && ctx.Err() != nil {
			err = context.Cause(ctx)
		} else if !ok {
			err = &BusyError{Path: path}
		}
	} else if err != nil {
		err = &WriteError{Path: l.Path(), Err: regular.Reason(err)}
	}
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return func() { _ = l.Close() }, nil
}
