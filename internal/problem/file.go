package problem

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"al.essio.dev/pkg/shellescape"
)

// unreadable is what lets a file be read, by why it cannot be. "" where nobody knows.
func unreadable(path string, err error) (hint, fix string) {
	q := shellescape.Quote(path)
	info, statErr := os.Lstat(path)
	away := "mv -i " + q + " " + shellescape.Quote(path+".away")
	switch {
	case runtime.GOOS == "windows": // which has no such commands
		return "", ""
	case errors.Is(err, syscall.ELOOP):
		return "it is a link that leads in a circle; move it away: " + away, away
	case errors.Is(err, fs.ErrPermission) && statErr != nil: // what is in the way is above it
		fix = "chmod u+rwx " + shellescape.Quote(filepath.Dir(path))
		return "let yourself in: " + fix, fix
	case errors.Is(err, fs.ErrPermission):
		fix = "chmod u+rw " + q
		return "let yourself read and write it: " + fix, fix
	case statErr == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
		return "it should be a file; move away what is there: " + away, away
	case statErr == nil:
		if to, err := os.Stat(path); err == nil && !to.Mode().IsRegular() {
			return "it should lead to a file; move the link away: " + away, away
		}
	}
	return "", ""
}
