//go:build !linux

package browser

import "os"

// CanOpen reports whether a browser can open here. In an SSH login it would open on a screen that the
// user may not see.
func CanOpen() bool { return os.Getenv("SSH_CONNECTION") == "" }
