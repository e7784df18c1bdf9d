package problem

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"al.essio.dev/pkg/shellescape"
)

// editCommand is the command that shows a line of a file in the editor. By its number no line is removed
// unseen: that of another may have come to be it.
func editCommand(file string, line int) string {
	return fmt.Sprintf("${EDITOR:-vi} +%d %s", line, shellescape.Quote(file))
}

// keepsNothing reports whether what is written to a file is gone: ssh_config's none, or the null device.
func keepsNothing(file string) bool {
	if file == "none" || file == os.DevNull {
		return true
	}
	info, err := os.Stat(file)
	return err == nil && info.Mode()&fs.ModeDevice != 0
}

// appendLine is the command that adds a line to a file as that is now: with its last line not
// ended, not to be written, or without the directory that it would be in.
func appendLine(file, line string) string {
	q := shellescape.Quote(file)
	command := "echo " + shellescape.Quote(line) + " >> " + q
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		at := file
		if to, err := os.Readlink(file); err == nil { // it leads to what is not there
			if at = to; !filepath.IsAbs(to) {
				at = filepath.Join(filepath.Dir(file), to)
			}
		}
		if _, err := os.Stat(filepath.Dir(at)); errors.Is(err, fs.ErrNotExist) {
			command = "mkdir -p -m 700 " + shellescape.Quote(filepath.Dir(at)) + " && " + command
		}
		return command
	case len(data) > 0 && data[len(data)-1] != '\n':
		command = "printf '\\n%s\\n' " + shellescape.Quote(line) + " >> " + q
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_ = f.Close()
	} else if errors.Is(err, fs.ErrPermission) {
		command = "chmod u+w " + q + " && " + command
	}
	return command
}

// nearestExisting is the part of a path that is there, and what it is; nil if it cannot be told.
func nearestExisting(path string) (string, fs.FileInfo) {
	for {
		info, err := os.Stat(path)
		up := filepath.Dir(path)
		if err == nil || up == path {
			return path, info
		}
		path = up
	}
}

// unreadableHint is what lets a file be read, by why it cannot be. "" where nobody knows.
func unreadableHint(path string, err error) (hint, fix string) {
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
	case errors.Is(err, fs.ErrPermission) && !isMine(info):
		fix = "sudo chmod a+r " + q
		return "it is another user's; as administrator: " + fix, fix
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
