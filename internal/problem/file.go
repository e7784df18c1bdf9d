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

// editCommand returns a command that opens a file at a line in the editor. It does not delete the
// line: its number may belong to another line by now.
func editCommand(file string, line int) string {
	return fmt.Sprintf("${EDITOR:-vi} +%d %s", line, shellescape.Quote(file))
}

// keepsNothing reports whether a known_hosts file keeps nothing: ssh_config's "none" or a device.
func keepsNothing(file string) bool {
	if file == "none" || file == os.DevNull {
		return true
	}
	info, err := os.Stat(file)
	return err == nil && info.Mode()&fs.ModeDevice != 0
}

// appendLine returns a command that adds a line to a file. The command allows for a last line
// without a newline, a read-only file, and a directory that does not exist.
func appendLine(file, line string) string {
	q := shellescape.Quote(file)
	command := "echo " + shellescape.Quote(line) + " >> " + q
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		at := file
		if to, err := os.Readlink(file); err == nil { // a dangling link
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

// nearestExisting returns the longest existing prefix of a path, and its information, nil if
// unknown.
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

// unreadableHint returns how to make a file readable, given the error of a read. It returns "" if
// the cause is unknown.
func unreadableHint(path string, err error) (hint, fix string) {
	q := shellescape.Quote(path)
	info, statErr := os.Lstat(path)
	away := "mv -i " + q + " " + shellescape.Quote(path+".away")
	switch {
	case runtime.GOOS == "windows": // it lacks these commands
		return "", ""
	case errors.Is(err, syscall.ELOOP):
		return "its symbolic links form a circle; move it away: " + away, away
	case errors.Is(err, fs.ErrPermission) && statErr != nil: // a directory above it denies access
		fix = "chmod u+rwx " + shellescape.Quote(filepath.Dir(path))
		return "give yourself access: " + fix, fix
	case errors.Is(err, fs.ErrPermission) && !isMine(info):
		fix = "sudo chmod a+r " + q
		return "it belongs to another user; as administrator: " + fix, fix
	case errors.Is(err, fs.ErrPermission):
		fix = "chmod u+rw " + q
		return "give yourself read and write permission: " + fix, fix
	case statErr == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0:
		return "it should be a file; move it away: " + away, away
	case statErr == nil:
		if to, err := os.Stat(path); err == nil && !to.Mode().IsRegular() {
			return "it should point to a file; move the link away: " + away, away
		}
	}
	return "", ""
}
