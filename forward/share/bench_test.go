//go:build linux || darwin

package share

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// BenchmarkThroughput is a download through one of OpenSSH's servers, by the owner and by who
// has joined, from one in the middle of the owner's process.
func BenchmarkThroughput(b *testing.B) {
	_, s := realSite(b)
	owner, sharer := s.share(b, chain.Options{}), s.share(b, chain.Options{})
	const size = 64 << 20
	addr := sshtest.ServeTCP(b, func(c net.Conn) {
		piece := make([]byte, 256<<10)
		for range size / len(piece) {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	})
	for name, c := range map[string]*Chain{"alone": owner, "shared": sharer} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				conn, err := c.DialContext(b.Context(), "tcp", addr)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, conn); n != size || err != nil {
					b.Fatal(n, err)
				}
				_ = conn.Close()
			}
		})
	}
}

// BenchmarkCommand is what a command waits for that does nothing.
func BenchmarkCommand(b *testing.B) {
	_, s := realSite(b)
	owner, sharer := s.share(b, chain.Options{}), s.share(b, chain.Options{})
	for name, c := range map[string]*Chain{"alone": owner, "shared": sharer} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var out bytes.Buffer
				if err := c.Exec(b.Context(), "true", nil, &out, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkJoin is what joining takes.
func BenchmarkJoin(b *testing.B) {
	_, s := realSite(b)
	s.share(b, chain.Options{})
	for b.Loop() {
		c, err := Dial(b.Context(), s.place, chain.Options{}, s.dialSite)
		if err != nil || !c.Joined() {
			b.Fatal(err)
		}
		_ = c.Close()
	}
}
