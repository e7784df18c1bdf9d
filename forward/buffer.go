package forward

import "sync"

const (
	// smallBuffer is what a connection holds while it waits for bytes: enough
	// for a request or a message of a kernel.
	smallBuffer = 4 << 10
	// largeBuffer is one packet of an SSH channel.
	largeBuffer = 32 << 10
)

var largePool = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// A buffer is what one direction reads into: a large one from the pool as long
// as that comes back full, a small one otherwise. Most connections of a browser
// are idle most of the time, and a large one each would be most of our memory.
// What comes in messages of between the two sizes takes two reads each, which
// does not show beside what they cost otherwise (BenchmarkDownload/10000).
// Its zero value is ready.
type buffer struct {
	small []byte
	large *[largeBuffer]byte
}

// get returns what to read into next.
func (b *buffer) get() []byte {
	if b.large != nil {
		return b.large[:]
	}
	if b.small == nil {
		b.small = make([]byte, smallBuffer)
	}
	return b.small
}

// adjustSize says how much came, and that it has gone.
func (b *buffer) adjustSize(n int) {
	switch {
	case b.large == nil && n == smallBuffer:
		b.large = largePool.Get().(*[largeBuffer]byte)
	case b.large != nil && n < largeBuffer:
		b.releaseLarge()
	}
}

// releaseLarge gives the large buffer back.
func (b *buffer) releaseLarge() {
	if b.large != nil {
		largePool.Put(b.large)
		b.large = nil
	}
}
