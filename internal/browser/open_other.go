//go:build !linux

package browser

import "context"

// open gives link to the browser by way of a file.
func (o *opener) open(ctx context.Context, link string) error { return o.openFile(ctx, link) }
