package signing

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// room is what is taken for a file before its content is known; no key and no certificate
// of ours is larger.
const room = 16 << 10

// A WriteError says that a file could not be written. What was there is as it was.
type WriteError struct {
	Path string
	Err  error
}

func (e *WriteError) Error() string { return fmt.Sprintf("write %s: %v", e.Path, e.Err) }
func (e *WriteError) Unwrap() error { return e.Err }

// staged is a file beside the one that it will be. It has the room that it needs from
// the beginning (renameio's are empty until they are written, and do not exist on Windows).
type staged struct {
	path string // where it belongs
	mode fs.FileMode
	file *os.File // nil once it is in its place, or gone
	old  string   // what it replaced, until all are in place
}

// stage takes room for a file at path, whose directory is made if need be (0700).
func stage(path string, mode fs.FileMode) (*staged, error) {
	path = realPath(path)
	dir := filepath.Dir(path)
	failed := func(err error) (*staged, error) { return nil, &WriteError{Path: path, Err: regular.Reason(err)} }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failed(err)
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return failed(err)
	}
	s := &staged{path: path, mode: mode, file: f}
	if _, err = f.Write(make([]byte, room)); err == nil {
		err = f.Sync() // only now some file systems say that there is no room
	}
	if err != nil {
		s.discard()
		return failed(err)
	}
	return s, nil
}

// sweep removes what a signing that was killed has left beside the key at path; whoever
// calls it holds the lock.
func sweep(path string) {
	for _, suffix := range []string{"", ".pub", "-cert.pub"} {
		path := realPath(path + suffix)
		left, _ := filepath.Glob(filepath.Join(globbed.Replace(filepath.Dir(path)), "."+globbed.Replace(filepath.Base(path))+"-[0-9]*"))
		for _, name := range left {
			_ = os.Truncate(name, 0)
			_ = os.Remove(name)
		}
	}
}

// globbed takes the special characters of patterns for themselves.
var globbed = strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]")

// write gives the file its content, over the room that it has.
func (s *staged) write(data []byte) error {
	_, err := s.file.WriteAt(data, 0)
	if err == nil {
		err = s.file.Truncate(int64(len(data)))
	}
	if err == nil {
		err = s.file.Chmod(s.mode)
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return &WriteError{Path: s.path, Err: regular.Reason(err)}
	}
	return nil
}

// discard removes a file that did not get to its place, and what is in it.
func (s *staged) discard() {
	if s.file == nil {
		return
	}
	name := s.file.Name()
	_ = s.file.Truncate(0) // it may hold a key
	_ = s.file.Close()
	_ = os.Remove(name)
	s.file = nil
}

// commit puts files in their places, one after the other. If one cannot be put there, what
// the others replaced is put back.
func commit(files []*staged) (err error) {
	defer func() {
		for _, s := range files {
			switch {
			case s.old == "":
			case err == nil:
				_ = os.Remove(s.old)
			default:
				_ = os.Rename(s.old, s.path)
			}
		}
	}()
	for i, s := range files {
		// The last one needs no way back, nor does what has replaced nothing.
		if old := s.file.Name() + ".old"; i < len(files)-1 && os.Link(s.path, old) == nil {
			s.old = old
		}
		name := s.file.Name()
		_ = s.file.Close() // it was synced
		if err := os.Rename(name, s.path); err != nil {
			_ = os.Remove(name)
			s.file = nil
			return &WriteError{Path: s.path, Err: regular.Reason(err)}
		}
		s.file = nil
	}
	return nil
}

// realPath is where a file really is: it may be a link to a directory of somebody's dotfiles.
func realPath(path string) string {
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	return path
}
