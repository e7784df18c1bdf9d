package forward

import "sync"

const (
	// smallBuffer is the size of a buffer in bytes while the connection waits for data. It is
	// enough for a request or a message of a Jupyter kernel.
	smallBuffer = 4 << 10
	// largeBuffer is the size in bytes of one packet of an SSH channel.
	largeBuffer = 32 << 10
)

var largePool = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// A buffer is the read buffer of one direction. It is a large one from the pool as long as reads
// fill it, and a small one otherwise. Most connections of a browser are idle most of the time, so a
// large buffer for each would be most of the memory. Messages of between the two sizes take two
// reads each, which is not measurable (BenchmarkDownload/10000). The zero value is ready.
type buffer struct {
	small []byte
	large *[largeBuffer]byte
}

// get returns the slice for the next read.
func (b *buffer) get() []byte {
	if b.large != nil {
		return b.large[:]
	}
	if b.small == nil {
		b.small = make([]byte, smallBuffer)
	}
	return b.small
}

// adjustSize selects the next size after a read of n bytes whose data has been written.
func (b *buffer) adjustSize(n int) {
	switch {
	case b.large == nil && n == smallBuffer:
		b.large = largePool.Get().(*[largeBuffer]byte)
	case b.large != nil && n < largeBuffer:
		b.releaseLarge()
	}
}

// releaseLarge returns the large buffer to the pool.
func (b *buffer) releaseLarge() {
	if b.large != nil {
		largePool.Put(b.large)
		b.large = nil
	}
}
