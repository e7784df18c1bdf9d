package peer

import "golang.org/x/sys/unix"

// peerUID returns the user ID of the process that connected or that listens at the other end.
func peerUID(fd int) (uid uint32, err error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return c.Uid, nil
}
