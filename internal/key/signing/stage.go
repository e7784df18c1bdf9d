package signing

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/regular"
)

// reservedSize is what is taken for a file before its content is known; no key and no certificate
// of ours is larger.
const reservedSize = 16 << 10

// A WriteError says that a file could not be written. What was there is as it was.
type WriteError struct {
	Path string
	Err  error
}

func (e *WriteError) Error() string { return fmt.Sprintf("write %s: %v", e.Path, e.Err) }
func (e *WriteError) Unwrap() error { return e.Err }

// A batch is files of one key that are put in their places together.
//
// The last rename of commit completes the batch. Until then a staged file is left, and the files
// that the batch replaces have a second name. So sweep can tell after a kill whether the batch
// was completed, and restores the replaced files if not.
type batch struct {
	path  string // of the private key, or of the only file
	id    string // random; in the names of all files of the batch
	files []*stagedFile
}

// stagedFile is a file beside the one that it will be. It has the room that it needs from
// the beginning (renameio's are empty until they are written, and do not exist on Windows).
type stagedFile struct {
	part int    // index in parts
	path string // where it belongs
	name string // where it is
	mode fs.FileMode
	file *os.File // nil once it is closed
	old  string   // the second name of what it replaces; "" for nothing
	done bool     // it is in its place, or was removed
}

func newBatch(path string) *batch {
	return &batch{path: realPath(path), id: strings.ToLower(rand.Text()[:8])}
}

// stageFile takes room for the file of the batch with this suffix. It makes the directory if need be
// (0700).
func (b *batch) stageFile(suffix string, mode fs.FileMode) (*stagedFile, error) {
	s := &stagedFile{part: partOf(suffix), path: realPath(b.path + suffix), mode: mode}
	dir := filepath.Dir(s.path)
	failed := func(err error) (*stagedFile, error) {
		return nil, &WriteError{Path: s.path, Err: regular.Reason(err)}
	}
	if err := checkOwner(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failed(err)
	}
	s.name = b.fileName(dir, kindStaged, s.part)
	f, err := os.OpenFile(s.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return failed(err)
	}
	s.file = f
	if _, err = f.Write(make([]byte, reservedSize)); err == nil {
		err = f.Sync() // only now some file systems say that there is no room
	}
	if err != nil {
		s.discard()
		return failed(err)
	}
	b.files = append(b.files, s)
	return s, nil
}

// checkOwner refuses a directory of another user, in which root's files would be of no use.
func checkOwner(dir string) error {
	err := owndir.CheckOwner(dir)
	if err == nil || errors.As(err, new(*owndir.OwnerError)) {
		return err
	}
	return &WriteError{Path: dir, Err: regular.Reason(err)}
}

// write gives the file its content, over the room that it has.
func (s *stagedFile) write(data []byte) error {
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

// discard removes the files that did not get to their places, and what is in them.
func (b *batch) discard() {
	for _, s := range b.files {
		s.discard()
	}
}

func (s *stagedFile) discard() {
	if s.done {
		return
	}
	if s.file != nil {
		_ = s.file.Truncate(0) // it may hold a key
		_ = s.file.Close()
		s.file = nil
	}
	eraseFile(s.name)
	s.done = true
}

// afterStep is called after each change of commit to the file system; tests kill the process there.
var afterStep = func() {}

// commit puts the files in their places, the certificate last. If one cannot be put there, what
// the others replaced is put back.
func (b *batch) commit() error {
	slices.SortFunc(b.files, func(x, y *stagedFile) int { return cmp.Compare(x.part, y.part) })
	// The last one needs no way back.
	for _, s := range b.files[:len(b.files)-1] {
		if err := b.backUp(s); err != nil {
			b.restoreReplaced()
			return &WriteError{Path: s.path, Err: regular.Reason(err)}
		}
	}
	for _, s := range b.files {
		_ = s.file.Close() // it was synced
		s.file = nil
		if err := os.Rename(s.name, s.path); err != nil {
			b.restoreReplaced()
			return &WriteError{Path: s.path, Err: regular.Reason(err)}
		}
		s.done = true
		afterStep()
	}
	for _, s := range b.files {
		if s.old != "" {
			_ = os.Remove(s.old)
			afterStep()
		}
	}
	return nil
}

// backUp gives what s replaces a second name, under which it outlasts the rename.
func (b *batch) backUp(s *stagedFile) error {
	if _, err := os.Lstat(s.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	dir := filepath.Dir(s.path)
	old := b.fileName(dir, kindOld, s.part)
	if err := os.Link(s.path, old); err != nil { // a file system without hard links
		copied := b.fileName(dir, kindCopy, s.part)
		defer eraseFile(copied) // nothing, once it is renamed
		// A second name that exists has the whole content.
		if err := copyFile(copied, s.path); err != nil {
			return err
		}
		afterStep()
		if err := os.Rename(copied, old); err != nil {
			return err
		}
	}
	s.old = old
	afterStep()
	return nil
}

// restoreReplaced puts back what the files of the batch replaced. If that fails, the staged files stay,
// by which the next sweep sees that it has to do the rest.
func (b *batch) restoreReplaced() {
	for _, s := range b.files {
		if s.old == "" {
			continue
		}
		if err := putBack(s.old, s.path); err != nil {
			for _, s := range b.files {
				s.done = true
			}
			return
		}
		s.old = ""
		afterStep()
	}
}

// putBack makes old the file at path again. A rename of one name of a file to another name of it
// does nothing (rename(2)).
func putBack(old, path string) error {
	if regular.Same(old, path) {
		return os.Remove(old)
	}
	return os.Rename(old, path)
}

// copyFile copies a file with its mode.
func copyFile(to, from string) error {
	data, info, err := regular.Read(from)
	if err != nil {
		return err
	}
	defer clear(data)
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(info.Mode().Perm())
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// realPath is where a file really is: it may be a link to a directory of somebody's dotfiles.
// It is the same before and after the file is made.
func realPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(realPath(dir), filepath.Base(path))
	}
	return path
}
