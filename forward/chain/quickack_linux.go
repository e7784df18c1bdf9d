package chain

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// quickAck has the kernel acknowledge what has come in at once.
//
// A jump host's sshd leaves Nagle's algorithm on, for it turns that off only
// with the first command that is run on it: of two small messages in a row (the end of the
// authentication and the host keys, the parts of a kernel's answer to a notebook) it
// holds the second back until the first is acknowledged. We in turn, having nothing to
// say, would keep the acknowledgement for 40 ms in the hope of an answer to send it with.
// The kernel forgets the setting, so it is made again after each read.
func quickAck(conn net.Conn) func() {
	tcp, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return func() {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
		})
	}
}
