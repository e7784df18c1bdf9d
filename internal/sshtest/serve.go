package sshtest

import (
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Serve has handle serve each connection that comes to l, and closes what it leaves open. The
// test's end ends it, and waits for those that are at work.
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

// ServeTCP does so at a free port of 127.0.0.1, and returns its address.
func ServeTCP(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	Serve(t, l, handle)
	return l.Addr().String()
}

// ServeUnix does so at a unix socket, and returns its path.
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

// ShortDir is a directory for sockets, whose paths have 104 bytes at most on macOS: t.TempDir's is
// too long.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // for that reason
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
