//go:build unix && !linux && !darwin

package demo

// awaitExit would wait for the end of a child without reaping it. It reports that it cannot.
func awaitExit(int) bool { return false }
