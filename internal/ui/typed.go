package ui

import (
	"io"
	"sync"
)

// typed passes what the user types to a question, or to the key handler if no question is asked. A pending read
// of a terminal cannot be cancelled on every system. So one goroutine reads, only while something waits for
// input, and the receiver is chosen once the input is there.
type typed struct {
	in io.Reader

	mu      sync.Mutex
	arrived *sync.Cond
	reading bool         // a read is pending
	asked   int          // number of waiting questions
	keys    func([]byte) // must not block; nil: no handler
	rest    []byte       // input for the next question
	err     error        // error for the next question
}

func newTyped(in io.Reader) *typed {
	t := &typed{in: in}
	t.arrived = sync.NewCond(&t.mu)
	return t
}

// Read implements io.Reader for questions. Errors are those of the terminal.
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

// watchKeys passes all input to keys while no question is asked, one call for each read, until the terminal ends
// or fails. nil stops it.
func (t *typed) watchKeys(keys func([]byte)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys = keys
	if keys != nil {
		t.startRead()
	}
}

// startRead starts a read unless one is pending. The caller holds t.mu.
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
