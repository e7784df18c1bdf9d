package owndir

import "os"

// Make creates the directory. Directories in the user's profile inherit rights for the user alone.
func Make(dir string) error { return os.MkdirAll(dir, 0o700) }

// Check returns an error unless the directory exists. See Make.
func Check(dir string) error {
	_, err := os.Stat(dir)
	return err
}

// CheckLinked is Check.
func CheckLinked(dir string) error { return Check(dir) }

// CheckParent is Check.
func CheckParent(dir string) error { return Check(dir) }

// CheckOwner accepts every directory: an administrator's files inherit the rights of their directory.
func CheckOwner(string) error { return nil }

// HasACL returns false: every file has a list, and the mode shows nothing.
func HasACL(string) bool { return false }
