// Package paths names the directories in which cscs keeps what one process leaves for the next: logs, records and
// sockets. It creates none of them.
package paths

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/site"
)

// StateDir returns the directory of logs and records: below $XDG_STATE_HOME, otherwise ~/.local/state (on macOS
// too, as for the configuration), on Windows %LocalAppData%. cscs trusts its contents, among them the host keys
// of sessions' nodes. So it refuses a directory of another user. As root (sudo), it also refuses one in a
// user's home directory. The error is a *site.HomeError, an *owndir.OwnerError, or wraps owndir.ErrShared.
func StateDir() (string, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) {
		var err error
		if runtime.GOOS == "windows" {
			dir, err = os.UserCacheDir()
		} else {
			dir, err = os.UserHomeDir()
			if err == nil && !filepath.IsAbs(dir) {
				err = fmt.Errorf("$HOME is no absolute path: %q", dir)
			}
			dir = filepath.Join(dir, ".local", "state")
		}
		if err != nil {
			return "", &site.HomeError{Sought: "a place for logs and records", Err: err}
		}
	}
	if err := owndir.CheckOwner(dir); err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "cscs")
	if err := owndir.CheckLinked(dir); errors.Is(err, owndir.ErrShared) {
		return "", err
	}
	return dir, nil // any other error is reported when the directory is used
}

// SocketDir returns the directory for the sockets of cscs processes: below $XDG_RUNTIME_DIR if only the user
// can access it, as its specification requires, otherwise beside the records.
func SocketDir() (string, error) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && owndir.Check(dir) == nil {
		return filepath.Join(dir, "cscs"), nil
	}
	state, err := StateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(state, "run"), nil
}
