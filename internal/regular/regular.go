// Package regular reads files of the user's that must be regular files: keys, certificates, ssh's
// configuration. Opening a FIFO would block forever and ignore Ctrl-C, and opening a device may do
// anything. The package also replaces files as a whole.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// An Error reports that a name is not that of a regular file.
type Error struct {
	Path string
	Kind string // what it is, in words
}

func (e *Error) Error() string { return fmt.Sprintf("%s is %s, not a file", e.Path, e.Kind) }

// most is the largest size of a file, in bytes. None of the files here is larger.
const most = 1 << 20

var errLarge = errors.New("it is larger than 1 MiB")

// Read reads a regular file of at most 1 MiB.
//
// Errors: *Error; those of the file system.
func Read(path string) ([]byte, fs.FileInfo, error) {
	if err := Check(path); err != nil {
		return nil, nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(data) > most { // not a part, which a caller might write back
		err = &fs.PathError{Op: "read", Path: path, Err: errLarge}
	}
	return data, info, err
}

// Check returns the error that Read would return for the kind of file, without opening it.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if kind := kindOf(info.Mode()); kind != "" {
		return &Error{Path: path, Kind: kind}
	}
	return nil
}

// kindOf describes the kind of a file that is not regular. It returns "" for a regular file.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return ""
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO (named pipe)"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something special"
}

// Same reports whether two names lead to one file.
func Same(a, b string) bool {
	one, errOne := os.Stat(a)
	other, errOther := os.Stat(b)
	return errOne == nil && errOther == nil && os.SameFile(one, other)
}

// Reason removes the paths from an error of the file system, for messages that contain them already.
func Reason(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}
