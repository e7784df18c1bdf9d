// Package regular reads files of the user's that can only be files: keys, certificates, ssh's
// configuration. To open a FIFO waits for who writes it, for ever and deaf to Ctrl-C, and to
// open a device may do anything. It also writes files as a whole.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// An Error says that there is something else than a file of that name.
type Error struct {
	Path string
	Kind string // what it is, in words
}

func (e *Error) Error() string { return fmt.Sprintf("%s is %s, not a file", e.Path, e.Kind) }

// most is how large a file may be; none that this is for is larger.
const most = 1 << 20

var errLarge = errors.New("it is larger than 1 MiB")

// Read reads a file.
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
	if err == nil && len(data) > most { // rather than a part, which somebody might write back
		err = &fs.PathError{Op: "read", Path: path, Err: errLarge}
	}
	return data, info, err
}

// Check is the error that Read has for what there is, without opening it.
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

// kindOf is what is not a file, in words; "" for a file.
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

// Same reports whether two names are those of one file.
func Same(a, b string) bool {
	one, errOne := os.Stat(a)
	other, errOther := os.Stat(b)
	return errOne == nil && errOther == nil && os.SameFile(one, other)
}

// Reason takes the paths off an error of the file system, for where they are told already.
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
