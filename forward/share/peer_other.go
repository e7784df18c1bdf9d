//go:build !linux && !darwin

package share

import (
	"errors"
	"net"
)

// Windows has such sockets, too, but says of the other side its process at most, which is not
// enough to know that it still is the one that connected.
var errNoPeer = errors.New("this system does not say whose process is at the other end of a socket")

func supported() error              { return errNoPeer }
func checkPeer(*net.UnixConn) error { return errNoPeer }
