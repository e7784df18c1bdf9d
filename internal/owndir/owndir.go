// Package owndir makes and checks directories that are the user's alone: those of the sockets,
// locks and records through which our processes trust each other. A user who can write to such a
// directory can be at the other end.
package owndir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrShared tells that a directory is not the user's alone.
var ErrShared = errors.New("it is not the user's alone")

// An Error tells why a directory is not the user's alone. It wraps [ErrShared].
type Error struct {
	Dir    string
	Reason string // "belongs to mallory (uid 1001)"
	Open   bool   // it is the user's, and others can write to it
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: cscs neither reads nor writes there", e.Dir, e.Reason)
}
func (e *Error) Unwrap() error { return ErrShared }

// RemoveEmpty removes a directory if it is empty. A symbolic link stays: it is the user's, to a
// directory elsewhere.
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

// An OwnerError tells that files of root's would be made in a directory of another user, who
// could not change or read them afterwards. It comes from sudo with the user's HOME.
type OwnerError struct {
	Dir   string
	Owner string // "alice (uid 1001)"
}

func (e *OwnerError) Error() string {
	return fmt.Sprintf("%s belongs to %s, and cscs runs as root: run it without sudo", e.Dir, e.Owner)
}
