package main

import (
	"context"

	"github.com/alps-tunnel/cscs/internal/browser"
)

// open is how the link is opened in a browser; nil: it is not, and the URL that is printed
// has to do.
func (s *start) open() func(ctx context.Context, link string) error {
	if s.opts.noBrowser || !browser.CanOpen() {
		return nil
	}
	return browser.Open
}
