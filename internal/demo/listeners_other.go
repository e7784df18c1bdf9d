//go:build !linux && !darwin && !windows

package demo

// listeners cannot be seen here: no server is ever found to be the user's.
func listeners() []listener { return nil }

func ofSession([]listener, string, int) []listener { return nil }
