//go:build !linux

package browser

import "os"

// CanOpen tells whether there is a browser that can show itself: not in a
// login by SSH, where it would open on a screen that the user may be far from.
func CanOpen() bool { return os.Getenv("SSH_CONNECTION") == "" }
