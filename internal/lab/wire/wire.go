//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A wire is the line between end a and end b. The ends change when their hosts crash and boot.
type wire struct {
	delay atomic.Int64  // one way, in nanoseconds
	loss  atomic.Uint64 // lost packets in a million
	cut   atomic.Bool

	ends [2]atomic.Pointer[os.File] // the tun devices; nil if there is none

	queues  [2]*queue // queues[i] holds the packets for ends[i]
	carried [2]atomic.Uint64
	dropped atomic.Uint64

	readers [2]sync.WaitGroup // the goroutine that reads ends[i]
}

func newWire() *wire {
	w := &wire{}
	for i := range w.queues {
		w.queues[i] = newQueue()
		go w.deliverPackets(i)
	}
	return w
}

// runCommand runs a command of a client and returns the answer.
func (w *wire) runCommand(words []string) (string, error) {
	if len(words) == 0 {
		return "", fmt.Errorf("no command")
	}
	switch verb, args := words[0], words[1:]; {
	case verb == "attach" && len(args) == 2:
		return "ok", w.attach(args[0], args[1])
	case verb == "detach" && len(args) == 1:
		return "ok", w.detach(args[0])
	case verb == "cut" && len(args) == 0:
		w.cut.Store(true)
		return "ok", nil
	case verb == "heal" && len(args) == 0:
		w.cut.Store(false)
		return "ok", nil
	case verb == "rtt" && len(args) == 1:
		return "ok", w.setRTT(args[0])
	case verb == "loss" && len(args) == 1:
		return "ok", w.setLoss(args[0])
	case verb == "status" && len(args) == 0:
		return w.statusLine(), nil
	}
	return "", fmt.Errorf("unknown command %q", words)
}

func (w *wire) setRTT(s string) error {
	if s == "0" {
		s = "0s"
	}
	rtt, err := time.ParseDuration(s)
	if err != nil || rtt < 0 || rtt > time.Minute {
		return fmt.Errorf("rtt: want a duration from 0 to 1m such as 20ms, got %q", s)
	}
	w.delay.Store(int64(rtt / 2))
	return nil
}

// setLoss sets the loss. While packets are lost it also turns off the devices' segmentation offload.
// With it the kernel passes up to 64 KiB at once, and the loss of such a packet would be a burst of 45
// real packets.
func (w *wire) setLoss(s string) error {
	percent, err := strconv.ParseFloat(s, 64)
	if err != nil || percent < 0 || percent > 100 {
		return fmt.Errorf("loss: want a percentage from 0 to 100, got %q", s)
	}
	w.loss.Store(uint64(percent * 10_000))
	for i := range w.ends {
		if f := w.ends[i].Load(); f != nil {
			if err := setOffload(f, percent == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *wire) statusLine() string {
	return fmt.Sprintf("rtt=%s loss=%g%% cut=%t a=%t b=%t a_to_b=%d b_to_a=%d dropped=%d",
		2*time.Duration(w.delay.Load()), float64(w.loss.Load())/10_000, w.cut.Load(),
		w.ends[0].Load() != nil, w.ends[1].Load() != nil,
		w.carried[1].Load(), w.carried[0].Load(), w.dropped.Load())
}

func parseEnd(name string) (int, error) {
	switch name {
	case "a":
		return 0, nil
	case "b":
		return 1, nil
	}
	return 0, fmt.Errorf("no end %q: want a or b", name)
}

// attach creates a device as that end of the line. It replaces the end's previous device.
func (w *wire) attach(endName, device string) error {
	i, err := parseEnd(endName)
	if err != nil {
		return err
	}
	if err := w.detach(endName); err != nil {
		return err
	}
	f, err := openTun(device, w.loss.Load() == 0)
	if err != nil {
		return err
	}
	w.ends[i].Store(f)
	w.readers[i].Go(func() { w.readPackets(i, f) })
	return nil
}

// detach removes that end's device and waits for its reader.
func (w *wire) detach(endName string) error {
	i, err := parseEnd(endName)
	if err != nil {
		return err
	}
	if f := w.ends[i].Swap(nil); f != nil {
		_ = f.Close() // the device is removed with its only descriptor
	}
	w.readers[i].Wait()
	return nil
}

// readPackets reads packets from end i and queues them for the other end.
func (w *wire) readPackets(i int, f *os.File) {
	other := 1 - i
	buf := make([]byte, maxPacket)
	for {
		n, err := f.Read(buf)
		if err != nil {
			// detach has closed it, or its namespace is gone because the host crashed.
			if w.ends[i].CompareAndSwap(f, nil) {
				_ = f.Close()
			}
			return
		}
		if w.shouldDrop() || !w.queues[other].put(buf[:n], w.deliveryTime()) {
			w.dropped.Add(1)
		}
	}
}

func (w *wire) deliveryTime() time.Time { return time.Now().Add(time.Duration(w.delay.Load())) }

func (w *wire) shouldDrop() bool {
	if w.cut.Load() {
		return true
	}
	loss := w.loss.Load()
	return loss > 0 && rand.Uint64N(1_000_000) < loss
}

// deliverPackets delivers each packet to end i when it is due. It checks for a cut again, so that a cut
// also drops packets on their way.
func (w *wire) deliverPackets(i int) {
	for {
		p := w.queues[i].take()
		sleepUntil(p.due)
		f := w.ends[i].Load()
		if f == nil || w.cut.Load() {
			w.dropped.Add(1)
			continue
		}
		if _, err := f.Write(p.data); err != nil {
			w.dropped.Add(1)
			continue
		}
		w.carried[i].Add(1)
	}
}
