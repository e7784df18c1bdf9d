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

// lockWait is how long a process waits for another that changes the configuration: that one asks
// ssh several times, and a Match exec of the user's may take seconds each time.
const lockWait = 2 * time.Minute

// checkOwner refuses to let root write a file of another user's, or beside one (sudo, with the user's
// HOME): ssh would refuse it to its owner.
func checkOwner(names ...string) error {
	for _, name := range names {
		target, err := resolveLinks(name)
		if err != nil {
			continue // reading it says what is wrong
		}
		for _, path := range []string{filepath.Dir(name), filepath.Dir(target), target} {
			if err := owndir.CheckOwner(path); errors.As(err, new(*owndir.OwnerError)) {
				return err
			}
		}
	}
	return nil
}

// lock waits until no other process of cscs changes the configuration. It refuses what checkOwner
// refuses. The lock is beside the host
// keys, not in ~/.ssh, where an Include of the user's may match its name. unlock removes it.
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
	for tries := 0; errors.Is(err, fs.ErrNotExist) && tries < 100; tries++ { // another has removed the directory, with its lock
		lock, err = lockIn(ctx, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("wait for another cscs that changes %s: %w", f.Config, err)
	}
	return func() {
		_ = os.Remove(lock.Path())
		_ = lock.Close()
		_ = os.Remove(lock.Path()) // Windows removes no open file
		if errors.Is(missing, fs.ErrNotExist) {
			_ = owndir.RemoveEmpty(dir)
		}
	}, nil
}

// lockIn locks in a directory, which it makes.
func lockIn(ctx context.Context, dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := owndir.CheckLinked(dir); err != nil {
		return nil, err
	}
	return lockNamed(ctx, filepath.Join(dir, "ssh-config.lock"))
}

// lockNamed locks the file that has the name: one that its holder removes while this process waits
// for it excludes no other process.
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
