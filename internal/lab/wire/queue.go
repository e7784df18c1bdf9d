//go:build linux

package main

import (
	"sync"
	"time"
)

// maxQueued limits the bytes on their way in one direction. It is several times what TCP keeps in
// flight over 100 ms, and small enough to protect the machine's memory from a flood. Packets beyond it
// are dropped, as in a router.
const maxQueued = 64 << 20

// A packet is one packet with its virtio header, and the time when it is due at the other end.
type packet struct {
	data []byte
	due  time.Time
}

// A queue is a first-in, first-out queue with a limit in bytes. A channel's limit would be in packets,
// which have from 50 bytes to 64 KiB here.
type queue struct {
	mu    sync.Mutex
	some  sync.Cond
	items []packet
	bytes int
}

func newQueue() *queue {
	q := &queue{}
	q.some.L = &q.mu
	return q
}

// put copies data into the queue. It reports whether there was room.
func (q *queue) put(data []byte, due time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+len(data) > maxQueued {
		return false
	}
	q.items = append(q.items, packet{append([]byte(nil), data...), due})
	q.bytes += len(data)
	q.some.Signal()
	return true
}

// take waits for the next packet. It keeps the order even if a shortened delay makes a later packet
// due first, because a line does not reorder.
func (q *queue) take() packet {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 {
		q.some.Wait()
	}
	p := q.items[0]
	q.items[0] = packet{}
	q.items = q.items[1:]
	q.bytes -= len(p.data)
	return p
}
