//go:build unix && !linux

package owndir

// HasACL reports false: the mode does not show what such systems grant by access control lists.
func HasACL(string) bool { return false }
