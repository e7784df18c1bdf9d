package peer

import "golang.org/x/sys/unix"

// peerUID is the user id of the process that made the other end, or that listened there.
func peerUID(fd int) (uid uint32, err error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return c.Uid, nil
}
