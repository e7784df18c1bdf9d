package forward

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

func TestStatsOfOne(t *testing.T) {
	l, stop := start(t, testServer(t, func(c *net.TCPConn) {
		readFull := make([]byte, 5)
		_, _ = io.ReadFull(c, readFull)
		_, _ = io.WriteString(c, "an answer")
	}))
	opened := l.Stats()
	if opened.LastActivity.IsZero() {
		t.Error("no activity, not even the listener's own")
	}
	c := dial(t, l)
	write(t, c, "query")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	readAll(t, c)
	stop()
	got := l.Stats()
	if !got.LastActivity.After(opened.LastActivity) {
		t.Errorf("last activity %v, not after %v", got.LastActivity, opened.LastActivity)
	}
	got.LastActivity = time.Time{}
	if want := (Stats{Total: 1, Sent: 5, Received: 9}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A connection that is idle holds a small part of what it holds at work, even
// after work.
func TestMemoryOfIdleConnections(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory is many times ours; the test without it counts")
	}
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
