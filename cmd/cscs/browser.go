package main

import "context"

// open is how the link is opened in a browser; nil: it is not.
func (s *start) open() func(ctx context.Context, link string) error {
	if s.opts.noBrowser {
		return nil
	}
	return nil
}
