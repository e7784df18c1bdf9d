package sshtest

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Serve calls handle for each connection to l and closes the connection afterwards. The end of the
// test closes l and waits for running handlers.
func Serve(t testing.TB, l net.Listener, handle func(net.Conn)) {
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); tasks.Wait() })
}

// ServeTCP is Serve on a free port of 127.0.0.1. It returns the address.
func ServeTCP(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	Serve(t, l, handle)
	return l.Addr().String()
}

// ServeUnix is Serve on a unix socket. It returns the path.
func ServeUnix(t testing.TB, handle func(net.Conn)) (socket string) {
	t.Helper()
	socket = filepath.Join(ShortDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	Serve(t, l, handle)
	return socket
}

// ShortDir returns a directory for unix sockets. Their paths have at most 104 bytes on macOS, and
// t.TempDir's is too long.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // for that reason
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
