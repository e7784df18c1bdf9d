package sshtest

import (
	"net"
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
