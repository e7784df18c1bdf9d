package forward

import (
	"io"
	"net"
	"strconv"
	"testing"
)

// The numbers beside those of Direct are what the forwarder costs.

func BenchmarkDownload(b *testing.B) {
	for _, size := range []int{1 << 10, 10_000, 64 << 10} {
		serve := func(c *net.TCPConn) {
			p := make([]byte, size)
			for {
				if _, err := c.Write(p); err != nil {
					return
				}
			}
		}
		run := func(b *testing.B, c net.Conn) {
			p := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := io.ReadFull(c, p); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.Run(strconv.Itoa(size)+"/Forwarded", func(b *testing.B) {
			l, _ := start(b, testServer(b, serve))
			run(b, dial(b, l))
		})
		b.Run(strconv.Itoa(size)+"/WithRoom", func(b *testing.B) {
			l, _ := start(b, testServer(b, serve), withRoom(newFakeRoom()))
			run(b, dial(b, l))
		})
		b.Run(strconv.Itoa(size)+"/Direct", func(b *testing.B) { run(b, direct(b, serve)) })
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	run := func(b *testing.B, c net.Conn) {
		p := make([]byte, 200)
		for b.Loop() {
			if _, err := c.Write(p); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, p); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("Forwarded", func(b *testing.B) {
		l, _ := start(b, testServer(b, echo))
		run(b, dial(b, l))
	})
	b.Run("WithRoom", func(b *testing.B) {
		l, _ := start(b, testServer(b, echo), withRoom(newFakeRoom()))
		run(b, dial(b, l))
	})
	b.Run("Direct", func(b *testing.B) { run(b, direct(b, echo)) })
}

func BenchmarkConnect(b *testing.B) {
	serve := func(c *net.TCPConn) { _, _ = c.Write([]byte{1}) }
	run := func(b *testing.B, dial Target) {
		for b.Loop() {
			c, err := dial(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadAll(c); err != nil {
				b.Fatal(err)
			}
			c.Close()
		}
	}
	b.Run("Forwarded", func(b *testing.B) {
		l, _ := start(b, testServer(b, serve))
		run(b, dialTarget(joinHostPort("127.0.0.1", l.Port())))
	})
	b.Run("WithRoom", func(b *testing.B) {
		l, _ := start(b, testServer(b, serve), withRoom(newFakeRoom()))
		run(b, dialTarget(joinHostPort("127.0.0.1", l.Port())))
	})
	b.Run("Direct", func(b *testing.B) { run(b, testServer(b, serve)) })
}

// direct is a connection to a server without a forwarder between.
func direct(b *testing.B, serve func(*net.TCPConn)) net.Conn {
	b.Helper()
	c, err := testServer(b, serve)(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}
