package forward

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// Both directions at once, of messages of all sizes around the buffers' own,
// as a websocket has them.
func TestDuplex(t *testing.T) {
	sizes := []int{
		1, 2, 125, 126, smallBuffer - 1, smallBuffer, smallBuffer + 1, 10_000,
		largeBuffer - 1, largeBuffer, largeBuffer + 1, 65536, 1,
	}
	talk := func(c io.ReadWriter) error {
		sent := make(chan error, 1)
		go func() {
			for _, n := range sizes {
				if _, err := c.Write(bytes.Repeat([]byte{byte(n)}, n)); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		for _, n := range sizes {
			b := make([]byte, n)
			if _, err := io.ReadFull(c, b); err != nil {
				return errors.Join(err, <-sent)
			}
			if !bytes.Equal(b, bytes.Repeat([]byte{byte(n)}, n)) {
				return fmt.Errorf("the message of %d bytes is not what was sent", n)
			}
		}
		return <-sent
	}
	served := make(chan error, 1)
	target := testServer(t, func(c *net.TCPConn) { served <- talk(c) })
	l, _ := start(t, target)
	if err := talk(dial(t, l)); err != nil {
		t.Error("client:", err)
	}
	if err := <-served; err != nil {
		t.Error("server:", err)
	}
}

// pattern is a stream in which every block is another, and which costs next
// to nothing to make and to check.
type pattern struct {
	block [64 << 10]byte
	n     uint64
}

func newPattern() *pattern {
	p := new(pattern)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(p.block[:])
	return p
}

func (p *pattern) next() []byte {
	binary.LittleEndian.PutUint64(p.block[p.n%8000*8:], p.n)
	p.n++
	return p.block[:]
}

func (p *pattern) send(w io.Writer, size int) error {
	for ; size > 0; size -= len(p.block) {
		if _, err := w.Write(p.next()[:min(size, len(p.block))]); err != nil {
			return err
		}
	}
	return nil
}

// check reads all of a stream of size bytes.
func (p *pattern) check(r io.Reader, size int) error {
	if err := p.checkPart(r, size); err != nil {
		return err
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("after all %d bytes: %d more, %w", size, n, err)
	}
	return nil
}

func (p *pattern) checkPart(r io.Reader, size int) error {
	b := make([]byte, len(p.block))
	for at := 0; at < size; at += len(b) {
		b = b[:min(size-at, len(b))]
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("after %d bytes: %w", at, err)
		}
		if !bytes.Equal(b, p.next()[:len(b)]) {
			return fmt.Errorf("after %d bytes: not what was sent", at)
		}
	}
	return nil
}

// A gigabyte each way arrives byte for byte, and is counted.
func TestLargeTransfers(t *testing.T) {
	size := 1<<30 + 4321
	if raceEnabled {
		size = 128<<20 + 4321
	}
	t.Run("upload", func(t *testing.T) {
		served := make(chan error, 1)
		target := testServer(t, func(c *net.TCPConn) { served <- newPattern().check(c, size) })
		l, stop := start(t, target)
		c := dial(t, l)
		if err := newPattern().send(c, size); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		stop()
		if s := l.Stats(); s.Sent != int64(size) || s.Received != 0 {
			t.Errorf("%d bytes sent, %d received, want %d and 0", s.Sent, s.Received, size)
		}
	})
	t.Run("download", func(t *testing.T) {
		target := testServer(t, func(c *net.TCPConn) { _ = newPattern().send(c, size) })
		l, stop := start(t, target)
		if err := newPattern().check(dial(t, l), size); err != nil {
			t.Fatal(err)
		}
		stop()
		if s := l.Stats(); s.Received != int64(size) || s.Sent != 0 {
			t.Errorf("%d bytes received, %d sent, want %d and 0", s.Received, s.Sent, size)
		}
	})
}

// A client that reads slowly slows the server down; nothing piles up here.
func TestBackpressure(t *testing.T) {
	stuck := make(chan int, 1)
	release := make(chan struct{})
	target := testServer(t, func(c *net.TCPConn) {
		// Without a reader at the other end, what is taken is what the kernel
		// and we buffer. That ends, and well below what is sent.
		_ = c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		n, _ := c.Write(make([]byte, 256<<20))
		stuck <- n
		_ = c.SetWriteDeadline(time.Time{})
		<-release
		_, _ = io.WriteString(c, "END")
	})
	l, _ := start(t, target)
	c := dial(t, l)
	n := <-stuck
	if n > 64<<20 {
		t.Errorf("%d MiB went to a client that reads nothing", n>>20)
	}
	close(release)
	if got := readAll(t, c); len(got) != n+len("END") || !strings.HasSuffix(got, "END") {
		t.Errorf("then it read %d bytes of %d", len(got), n+len("END"))
	}
}
