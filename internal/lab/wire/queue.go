//go:build linux

package main

import (
	"sync"
	"time"
)

// maxQueued bounds what is on its way in one direction. It is several times
// what TCP keeps in flight over 100 ms, and small enough that a flood does not
// take the machine's memory: what does not fit is dropped, as a router does.
const maxQueued = 64 << 20

// packet is one packet with its virtio header, due at the other end.
type packet struct {
	data []byte
	due  time.Time
}

// queue is a first-in, first-out queue bounded in bytes. A channel would be
// bounded in packets, which here are from 50 bytes to 64 KiB.
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

// put copies data in and reports whether there was room.
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

// take waits for the next packet. Order is kept even where a shortened delay
// makes a later packet due first: a line does not reorder.
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
