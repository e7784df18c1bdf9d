//go:build unix && !linux

package owndir

// HasACL returns false: on these systems the mode does not show access control lists.
func HasACL(string) bool { return false }
