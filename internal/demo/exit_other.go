//go:build unix && !linux && !darwin

package demo

// awaitExit returns false: this system has no way to wait for a child without reaping it.
func awaitExit(int) bool { return false }
