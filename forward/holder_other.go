//go:build !linux && !darwin

package forward

import "context"

// findHolder returns "": there is no implementation for this system.
func findHolder(context.Context, int) string { return "" }
