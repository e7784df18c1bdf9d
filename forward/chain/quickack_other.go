//go:build !linux

package chain

import "net"

// quickAck returns nil: TCP_QUICKACK exists on Linux only.
func quickAck(net.Conn) func() { return nil }
