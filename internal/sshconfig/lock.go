package sshconfig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/alps-tunnel/cscs/internal/owndir"
)

// lockWait is the time for another process that changes the configuration. That process asks ssh
// several times, and a Match exec of the user's may take seconds each time.
const lockWait = 2 * time.Minute

// checkOwner stops root from writing a file of another user, or beside one (sudo with the user's HOME).
// ssh would refuse a file of root's to its user.
func checkOwner(names ...string) error {
	for _, name := range names {
		target, err := resolveLinks(name)
		if err != nil {
			continue // reading it reports the error
		}
		for _, path := range []string{filepath.Dir(name), filepath.Dir(target), target} {
			if err := owndir.CheckOwner(path); errors.As(err, new(*owndir.OwnerError)) {
				return err
			}
		}
	}
	return nil
}

// lock waits for other processes of cscs that change the configuration. It refuses what checkOwner
// refuses. The lock is beside the host keys, not in ~/.ssh, where an Include pattern of the user's may
// match it. unlock removes it.
func (f Files) lock(ctx context.Context) (unlock func(), err error) {
	if err := checkOwner(f.Config, f.Part); err != nil {
		return nil, err
	}
	if err := Known(f.Known).checkOwner(); err != nil {
		return nil, err
	}
	dir := filepath.Dir(f.Known)
	_, missing := os.Lstat(dir)
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	lock, err := lockIn(ctx, dir)
	for tries := 0; errors.Is(err, fs.ErrNotExist) && tries < 100; tries++ { // another process removed dir
		lock, err = lockIn(ctx, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("wait for another cscs that changes %s: %w", f.Config, err)
	}
	return func() {
		_ = os.Remove(lock.Path())
		_ = lock.Close()
		_ = os.Remove(lock.Path()) // Windows cannot remove an open file
		if errors.Is(missing, fs.ErrNotExist) {
			_ = owndir.RemoveEmpty(dir)
		}
	}, nil
}

// lockIn creates dir and locks in it.
func lockIn(ctx context.Context, dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := owndir.CheckLinked(dir); err != nil {
		return nil, err
	}
	return lockNamed(ctx, filepath.Join(dir, "ssh-config.lock"))
}

// lockNamed locks the file with this name. If its holder removes the file while this process waits, the
// lock excludes no process, and lockNamed starts over.
func lockNamed(ctx context.Context, name string) (*flock.Flock, error) {
	for {
		lock := flock.New(name, flock.SetPermissions(0o600))
		if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
			_ = lock.Close()
			return nil, err
		}
		held, heldErr := lock.Stat()
		named, namedErr := os.Stat(name)
		if heldErr == nil && namedErr == nil && os.SameFile(held, named) {
			return lock, nil
		}
		_ = lock.Close()
	}
}
