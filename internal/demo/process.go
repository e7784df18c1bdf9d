package demo

import (
	"io"
	"os"
	"sync"
)

// A process is a server at work. It does not outlive this one, however this one ends.
type process struct {
	pid  int // of the server, and of its group
	done chan struct{}

	mu   sync.Mutex
	code int // once done is closed

	kill func(hard bool)
}

// exitStatus is the exit status; 128 + N if signal N ended it.
func (p *process) exitStatus() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.code
}

// terminate asks the server to end.
func (p *process) terminate() { p.kill(false) }

// killRemaining ends what is left of it.
func (p *process) killRemaining() { p.kill(true) }

// logPipe is a pipe into the log, and what waits for its end.
func logPipe(log io.Writer) (w *os.File, wait func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	var copying sync.WaitGroup
	copying.Go(func() {
		_, _ = io.Copy(log, r)
		_ = r.Close()
	})
	return w, copying.Wait, nil
}
