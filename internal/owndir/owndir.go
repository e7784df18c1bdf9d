// Package owndir makes and checks directories that belong to the user alone. In them are the sockets,
// locks and records through which the processes of cscs trust each other. A user who can write to such
// a directory can be at the other end.
package owndir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrShared reports that a directory is not the user's alone.
var ErrShared = errors.New("it is not the user's alone")

// An Error reports why a directory is not the user's alone. It wraps [ErrShared].
type Error struct {
	Dir    string
	Reason string // "belongs to mallory (uid 1001)"
	Open   bool   // it belongs to the user, but others can write to it
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: cscs neither reads nor writes there", e.Dir, e.Reason)
}
func (e *Error) Unwrap() error { return ErrShared }

// RemoveEmpty removes a directory if it is empty. It keeps a symbolic link, which only the user can have made.
func RemoveEmpty(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "remove", Path: dir, Err: errNotDir}
	}
	return os.Remove(dir)
}

var errNotDir = errors.New("it is not a directory")

// An OwnerError reports that root would create files in a directory of another user, who could not
// change or read them. The cause is sudo with the user's HOME.
type OwnerError struct {
	Dir   string
	Owner string // "alice (uid 1001)"
}

func (e *OwnerError) Error() string {
	return fmt.Sprintf("%s belongs to %s, and cscs runs as root: run it without sudo", e.Dir, e.Owner)
}
