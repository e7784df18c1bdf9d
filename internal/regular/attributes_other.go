//go:build !windows && !linux

package regular

import "os"

// copyExtended does nothing: on these systems extended attributes are not kept.
func copyExtended(*os.File, string) error { return nil }
