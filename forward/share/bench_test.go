//go:build linux || darwin

package share

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// pieceSize is the size of reads and writes in bytes, as in forward.
const pieceSize = 32 << 10

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// A carrier takes a process's connections to the last hop.
type carrier struct {
	name string
	dial dialFunc
}

// BenchmarkCarriers compares the chain itself ("direct") with a shared chain ("shared") and with one
// unix connection for each channel ("separate"). All three use one SSH connection to OpenSSH's
// server. In the works with "Node", one more SSH connection runs over each, as in a session. In those
// with "Far", the server is behind a round trip of 20 ms. Each round runs all three, another one first
// than in the round before. A ratio is taken within a round. CPU time is that of this process: the
// sharing process, the client and the far end of the connections, but not sshd.
//
//	go test ./forward/share -run '^$' -bench Carriers -benchtime 9x
func BenchmarkCarriers(b *testing.B) {
	_, near := realSite(b)
	_, far := realSite(b)
	_, node := realSite(b)
	far.hops[0].Addr = serveFar(b, far.hops[0].Addr, 10*time.Millisecond)
	login, remote := newCarriers(b, near), newCarriers(b, far)
	var nodes []carrier
	for _, c := range login {
		nodes = append(nodes, c.extend(b, node.hops[0]))
	}
	const long, short = 128 << 20, 32 << 20
	longZeros, shortZeros, sink, echoes := serveZeros(b, long), serveZeros(b, short), serveSink(b), sshtest.ServeTCP(b, echo)
	ctx := b.Context()
	downloadLong := func(dial dialFunc) error { return download(ctx, dial, longZeros, long) }
	uploadLong := func(dial dialFunc) error { return upload(ctx, dial, sink, long) }
	awaitByte := func(dial dialFunc) error { return awaitEcho(ctx, dial, echoes) }
	for _, work := range []struct {
		name     string
		carriers []carrier
		size     int // in bytes, for all connections together
		run      func(dialFunc) error
	}{
		{"Download", login, long, downloadLong},
		{"Upload", login, long, uploadLong},
		{"EightDownloads", login, 8 * short, func(dial dialFunc) error {
			return atOnce(8, func() error { return download(ctx, dial, shortZeros, short) })
		}},
		{"EightUploads", login, 8 * short, func(dial dialFunc) error {
			return atOnce(8, func() error { return upload(ctx, dial, sink, short) })
		}},
		{"NodeDownload", nodes, long, downloadLong},
		{"NodeUpload", nodes, long, uploadLong},
		{"FarDownload", remote, long, downloadLong},
		{"FarUpload", remote, long, uploadLong},
		{"FarFirstByte", remote, 0, awaitByte},
		{"FirstByte200Times", login, 0, func(dial dialFunc) error {
			for range 200 {
				if err := awaitByte(dial); err != nil {
					return err
				}
			}
			return nil
		}},
		{"HundredAtOnce", login, 0, func(dial dialFunc) error {
			return atOnce(100, func() error { return awaitByte(dial) })
		}},
	} {
		b.Run(work.name, func(b *testing.B) { compareCarriers(b, work.carriers, work.size, work.run) })
	}
}

// newCarriers returns the carriers to s.
func newCarriers(b *testing.B, s *site) []carrier {
	b.Helper()
	master, client := s.pair(b)
	return []carrier{
		{"direct", master.DialContext},
		{"shared", client.DialContext},
		{"separate", serveSeparate(b, master.Chain).DialContext},
	}
}

// extend returns a carrier to a hop behind c.
func (c carrier) extend(b *testing.B, hop chain.Hop) carrier {
	b.Helper()
	hop.Carrier = func(ctx context.Context) (net.Conn, error) { return c.dial(ctx, "tcp", hop.Addr) }
	further, err := chain.Dial(b.Context(), []chain.Hop{hop}, chain.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = further.Close() })
	return carrier{c.name, further.DialContext}
}

// compareCarriers logs what run takes with each carrier, and the ratio to the first one. CPU time is
// per GiB if size is not 0.
func compareCarriers(b *testing.B, carriers []carrier, size int, run func(dialFunc) error) {
	took, used := make([][]float64, len(carriers)), make([][]float64, len(carriers))
	for round := 0; b.Loop(); round++ {
		for i := range carriers {
			i = (i + round) % len(carriers)
			runtime.GC()
			cpu, start := cpuTime(b), time.Now()
			if err := run(carriers[i].dial); err != nil {
				b.Fatal(carriers[i].name, err)
			}
			took[i] = append(took[i], time.Since(start).Seconds())
			used[i] = append(used[i], (cpuTime(b) - cpu).Seconds())
			if size > 0 {
				used[i][round] *= float64(1<<30) / float64(size)
			}
		}
	}
	for i, c := range carriers {
		b.Logf("%-8s time %s; CPU %s", c.name, spread(took[i], took[0]), spread(used[i], used[0]))
	}
}

// spread returns the median of seconds, and the median, least and greatest ratio to base.
func spread(seconds, base []float64) string {
	ratios := make([]float64, len(base))
	for i := range base {
		ratios[i] = seconds[i] / base[i]
	}
	slices.Sort(ratios)
	median := len(ratios) / 2
	return fmt.Sprintf("%.4f s, ratio %.2f (%.2f–%.2f)",
		slices.Sorted(slices.Values(seconds))[median], ratios[median], ratios[0], ratios[len(ratios)-1])
}

// cpuTime returns the CPU time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// serveZeros serves size bytes to each connection.
func serveZeros(b *testing.B, size int) (addr string) {
	b.Helper()
	piece := make([]byte, 256<<10)
	return sshtest.ServeTCP(b, func(c net.Conn) {
		for range size / len(piece) {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	})
}

// serveSink reads each connection to its end, and then says so with one byte.
func serveSink(b *testing.B) (addr string) {
	b.Helper()
	return sshtest.ServeTCP(b, func(c net.Conn) {
		if _, err := readToEnd(c); err == nil {
			_, _ = c.Write([]byte{0})
		}
	})
}

// serveFar passes connections on to addr, with a delay each way.
func serveFar(b *testing.B, addr string, delay time.Duration) (far string) {
	b.Helper()
	return sshtest.ServeTCP(b, func(c net.Conn) {
		server, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer server.Close()
		var back sync.WaitGroup
		defer back.Wait()
		back.Go(func() { copyLate(c, server, delay) })
		copyLate(server, c, delay)
	})
}

// copyLate copies until src ends, and writes each piece after a delay. Then it closes dst.
func copyLate(dst net.Conn, src io.Reader, delay time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	line := make(chan piece, 16<<10)
	var writing sync.WaitGroup
	writing.Go(func() {
		defer dst.Close()
		for p := range line {
			<-time.NewTimer(time.Until(p.due)).C
			_, _ = dst.Write(p.data)
		}
	})
	for buf := make([]byte, pieceSize); ; {
		n, err := src.Read(buf)
		if err != nil {
			break
		}
		line <- piece{bytes.Clone(buf[:n]), time.Now().Add(delay)}
	}
	close(line)
	writing.Wait()
}

// readToEnd returns how many bytes there are up to the end.
func readToEnd(r io.Reader) (n int64, err error) {
	type writer struct{ io.Writer } // without the small buffer of io.Discard's ReadFrom
	return io.CopyBuffer(writer{io.Discard}, struct{ io.Reader }{r}, make([]byte, pieceSize))
}

// atOnce runs f n times at once.
func atOnce(n int, f func() error) error {
	errs := make([]error, n)
	var tasks sync.WaitGroup
	for i := range errs {
		tasks.Go(func() { errs[i] = f() })
	}
	tasks.Wait()
	return errors.Join(errs...)
}

// download reads size bytes from addr to the end.
func download(ctx context.Context, dial dialFunc, addr string, size int64) error {
	conn, err := dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if n, err := readToEnd(conn); n != size || err != nil {
		return fmt.Errorf("%d of %d bytes: %w", n, size, err)
	}
	return nil
}

// upload writes size bytes to addr, and waits until the far end has read all of them.
func upload(ctx context.Context, dial dialFunc, addr string, size int) error {
	conn, err := dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	piece := make([]byte, pieceSize)
	for range size / len(piece) {
		if _, err := conn.Write(piece); err != nil {
			return err
		}
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}

// awaitEcho opens a connection to an echo and waits for the first byte from there.
func awaitEcho(ctx context.Context, dial dialFunc, addr string) error {
	conn, err := dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{1}); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
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
