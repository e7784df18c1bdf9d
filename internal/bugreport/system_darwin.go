package bugreport

import "golang.org/x/sys/unix"

// System returns the version of macOS.
func System() string {
	version, err := unix.Sysctl("kern.osproductversion")
	if err != nil {
		return "macOS"
	}
	return "macOS " + version
}
