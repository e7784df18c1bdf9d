package ui

import (
	"io"
	"sync"
)

// typed hands what is typed on the terminal to who wants it at the moment: a question if
// one is being asked, else whoever watches the keys. A read of a terminal cannot be broken
// off on every system; so one goroutine reads, only when somebody wants something, and
// who gets it is decided when it is there.
type typed struct {
	in io.Reader

	mu      sync.Mutex
	arrived *sync.Cond
	reading bool         // a read is under way
	asked   int          // questions that wait
	keys    func([]byte) // must not block; nil: nobody watches
	rest    []byte       // was read, and is for the next question
	err     error        // likewise
}

func newTyped(in io.Reader) *typed {
	t := &typed{in: in}
	t.arrived = sync.NewCond(&t.mu)
	return t
}

// Read is for questions. Errors are those of the terminal.
func (t *typed) Read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	defer func() { t.asked-- }()
	for len(t.rest) == 0 && t.err == nil {
		t.startRead()
		t.arrived.Wait()
	}
	if len(t.rest) > 0 {
		n := copy(p, t.rest)
		t.rest = t.rest[n:]
		return n, nil
	}
	err := t.err
	t.err = nil
	return 0, err
}

// watchKeys has keys told of what is typed from now on when no question is asked, each time
// what one read has given, until the terminal has no more or fails. nil: no more.
func (t *typed) watchKeys(keys func([]byte)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys = keys
	if keys != nil {
		t.startRead()
	}
}

// startRead begins a read if none is under way.
func (t *typed) startRead() {
	if t.reading {
		return
	}
	t.reading = true
	go func() {
		b := make([]byte, 256)
		n, err := t.in.Read(b)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.reading = false
		if t.asked > 0 || t.keys == nil {
			t.rest, t.err = append(t.rest, b[:n]...), err
			t.arrived.Broadcast()
			return
		}
		if n > 0 {
			t.keys(b[:n])
		}
		if err == nil {
			t.startRead()
		}
	}()
}
