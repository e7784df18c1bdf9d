package chain

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// quickAck returns a function that makes the kernel acknowledge received data at once, or nil if
// conn is no socket.
//
// A jump host's sshd turns Nagle's algorithm off only with the first command that runs on it. Until
// then it holds the second of two small messages back until the first is acknowledged. Such
// messages are the end of the authentication and the host keys, or the parts of a Jupyter kernel's
// answer. The client's kernel would delay that acknowledgement by 40 ms, to send it with data. The
// kernel forgets the setting, so the caller repeats it after each read.
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
