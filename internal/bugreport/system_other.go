//go:build !linux && !darwin && !windows

package bugreport

import "runtime"

// System returns the name of the system.
func System() string { return runtime.GOOS }
