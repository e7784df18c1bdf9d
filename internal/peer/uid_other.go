//go:build !linux && !darwin && !windows

package peer

import "net/netip"

// askKernel returns ErrUnknown.
func askKernel(netip.AddrPort, netip.AddrPort) (int, error) { return 0, ErrUnknown }
