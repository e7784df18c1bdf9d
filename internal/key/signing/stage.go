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

// reservedSize, in bytes, is reserved for each file before its content is known. It exceeds every key
// and certificate of ours.
const reservedSize = 16 << 10

// A WriteError reports that a file could not be written. The old files are unchanged.
type WriteError struct {
	Path string
	Err  error
}

func (e *WriteError) Error() string { return fmt.Sprintf("write %s: %v", e.Path, e.Err) }
func (e *WriteError) Unwrap() error { return e.Err }

// A batch is a set of files of one key that are replaced together.
//
// The last rename of commit completes the batch. Until then a staged file exists, and the files that
// the batch replaces have a second name. So after a kill, sweepLeftovers can tell whether the batch was
// completed, and restores the replaced files if not.
type batch struct {
	path  string // of the private key, or of the only file
	id    string // random; in the names of all files of the batch
	files []*stagedFile
}

// stagedFile is a file beside the one that it will replace. Its space is reserved from the start.
// (renameio's files are empty until they are written, and renameio does not exist on Windows.)
type stagedFile struct {
	part int      // index in parts
	path string   // its destination
	name string   // where it is now
	file *os.File // nil once it is closed
	old  string   // the second name of the file that it replaces; "" if there is none
	done bool     // it was renamed or removed
}

func newBatch(path string) *batch {
	return &batch{path: realPath(path), id: strings.ToLower(rand.Text()[:8])}
}

// stageFile reserves space for a part of the key. It creates the directory if needed (0700).
func (b *batch) stageFile(part int) (*stagedFile, error) {
	s := &stagedFile{part: part, path: realPath(b.path + parts[part].suffix)}
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
		err = f.Sync() // some file systems report a full disk only here
	}
	if err != nil {
		s.discard()
		return failed(err)
	}
	b.files = append(b.files, s)
	return s, nil
}

// checkOwner refuses a directory of another user, who could not use root's files there.
func checkOwner(dir string) error {
	err := owndir.CheckOwner(dir)
	if err == nil || errors.As(err, new(*owndir.OwnerError)) {
		return err
	}
	return &WriteError{Path: dir, Err: regular.Reason(err)}
}

// write replaces the reserved content by data.
func (s *stagedFile) write(data []byte) error {
	_, err := s.file.WriteAt(data, 0)
	if err == nil {
		err = s.file.Truncate(int64(len(data)))
	}
	if err == nil {
		err = s.file.Chmod(parts[s.part].mode)
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return &WriteError{Path: s.path, Err: regular.Reason(err)}
	}
	return nil
}

// discard erases and removes the files that were not renamed.
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

// afterStep is called after each change of commit to the file system. Tests kill the process there.
var afterStep = func() {}

// commit renames the files into place, the certificate last. If one rename fails, it restores the files
// that the others replaced.
func (b *batch) commit() error {
	slices.SortFunc(b.files, func(x, y *stagedFile) int { return cmp.Compare(x.part, y.part) })
	// The last file needs no second name: its rename completes the batch.
	for _, s := range b.files[:len(b.files)-1] {
		if err := b.backUp(s); err != nil {
			b.restoreReplaced()
			return &WriteError{Path: s.path, Err: regular.Reason(err)}
		}
	}
	for _, s := range b.files {
		_ = s.file.Close() // write has synced it
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

// backUp gives the file that s replaces a second name, which survives the rename.
func (b *batch) backUp(s *stagedFile) error {
	if _, err := os.Lstat(s.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	dir := filepath.Dir(s.path)
	old := b.fileName(dir, kindOld, s.part)
	if err := os.Link(s.path, old); err != nil { // a file system without hard links
		copied := b.fileName(dir, kindCopy, s.part)
		defer eraseFile(copied) // does nothing after the rename
		// Copy first, since a file of kindOld must be complete.
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

// restoreReplaced restores the files that the batch replaced. If that fails, the staged files stay, so
// that the next sweepLeftovers restores the rest.
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

// putBack renames old to path. If both are names of one file, it removes old, since rename(2) would do nothing.
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

// realPath resolves symbolic links, such as one into the user's dotfiles. Its result is the same before
// and after the file exists.
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
