//go:build !linux && !darwin

package master

import (
	"context"
	"errors"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// Join returns an error: here are no control sockets, or the kernel does not say whose they are.
func Join(context.Context, string, chain.Hop) (chain.Hop, error) {
	return chain.Hop{}, errors.ErrUnsupported
}
