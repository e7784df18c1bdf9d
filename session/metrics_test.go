package session

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/forward"
)

// What ports carry is counted while they are there and when they are given back.
func TestGauge(t *testing.T) {
	var g Metrics
	var none *Metrics
	none.recordRTT(0, time.Second) // nobody looks
	none.resetRTT(0)
	if r := g.Read(); r != (Snapshot{}) {
		t.Errorf("of nothing: %+v", r)
	}
	ctx, stop := context.WithCancel(t.Context())
	var serving conc.WaitGroup
	defer serving.Wait()
	defer stop()
	var ports []*forward.Listener
	for range 2 {
		l, err := forward.Listen(0)
		if err != nil {
			t.Fatal(err)
		}
		l.SetTarget(func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			serving.Go(func() { // says what it hears, twice
				defer far.Close()
				b := make([]byte, 4)
				if _, err := io.ReadFull(far, b); err == nil {
					_, _ = far.Write(append(b, b...))
				}
				_, _ = io.Copy(io.Discard, far)
			})
			return near, nil
		})
		serving.Go(func() { _ = l.Serve(ctx) })
		g.addPort(l)
		ports = append(ports, l)
	}
	for _, l := range ports {
		c, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: l.Port()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
	}
	g.recordRTT(0, 20*time.Millisecond)
	want := Snapshot{Open: 2, Received: 16, Sent: 8, RTT: 20 * time.Millisecond}
	// A byte is counted when it has gone on, which may be after it was seen to arrive.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(10 * time.Second); g.Read() != want && time.Now().Before(late); {
		<-tick.C
	}
	if r := g.Read(); r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
	g.removePort(ports[0])
	g.removePort(ports[0])
	want.Open = 1
	if r := g.Read(); r != want {
		t.Errorf("after one was given back: %+v, want %+v", r, want)
	}
}

// The latency is that of the way there is now, and the length of an outage is none.
func TestGaugeLatency(t *testing.T) {
	var g Metrics
	is := func(want time.Duration, when string) {
		t.Helper()
		if got := g.Read().RTT; got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	g.resetRTT(1)
	g.recordRTT(1, 30*time.Millisecond)
	is(30*time.Millisecond, "over the first chain")
	g.recordRTT(1, 23*time.Second)
	is(30*time.Millisecond, "after an outage")
	g.resetRTT(2)
	is(0, "over a new chain")
	g.recordRTT(1, 40*time.Millisecond)
	is(0, "after what the old one has still answered")
	g.recordRTT(2, 50*time.Millisecond)
	is(50*time.Millisecond, "over the new chain")
}
