// Package owndir makes directories for sockets, through which our processes trust each
// other: whoever can write to such a directory can be at the other end.
package owndir

import "errors"

// ErrShared tells that a directory is not the user's alone.
var ErrShared = errors.New("it is not the user's alone")
