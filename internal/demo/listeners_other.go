//go:build !linux && !darwin && !windows

package demo

// findListeners cannot be seen here: no server is ever found to be the user's.
func findListeners() []listener { return nil }

func ofSession([]listener, string, int) []listener { return nil }
