//go:build !race

package forward

// The race detector's own memory is many times ours.

import (
	"io"
	"net"
	"runtime"
	"testing"
)

// A connection that is idle holds a small part of what it holds at work, even
// after work.
func TestMemoryOfIdleConnections(t *testing.T) {
	const (
		n     = 100
		bytes = 1 << 20
		most  = 48 << 10 // of a connection, the ends of it in this test included
	)
	l, _ := start(t, testServer(t, func(c *net.TCPConn) {
		_ = newPattern().send(c, bytes)
		_, _ = c.Write([]byte("the end"))
		_, _ = io.Copy(io.Discard, c)
	}))
	before := inUse()
	for range n {
		c := dial(t, l)
		if err := newPattern().checkPart(c, bytes); err != nil {
			t.Fatal(err)
		}
		readN(t, c, len("the end"))
	}
	grown := (inUse() - before) / n
	t.Logf("%d KiB for each of %d connections", grown>>10, n)
	if grown > most {
		t.Errorf("%d bytes for each connection, more than %d", grown, most)
	}
}

// inUse is the memory of the heap and of the stacks, without what is to be
// collected.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
