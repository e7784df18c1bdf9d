package owndir

import "os"

// Make makes the directory. What lies below the user's profile is the user's alone by
// inheritance.
func Make(dir string) error { return os.MkdirAll(dir, 0o700) }

// Check reports whether the directory is there. See Make.
func Check(dir string) error {
	_, err := os.Stat(dir)
	return err
}

// CheckLinked is Check.
func CheckLinked(dir string) error { return Check(dir) }

// CheckParent is Check.
func CheckParent(dir string) error { return Check(dir) }

// CheckOwner accepts every directory: an administrator's files take the rights of the directory
// that they are in.
func CheckOwner(string) error { return nil }

// HasACL reports false: every file has one, and modes tell nothing.
func HasACL(string) bool { return false }
