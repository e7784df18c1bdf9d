package demo

import (
	"io"
	"os"
	"sync"
)

// A process is a running server. It ends when this process ends, even if this process is killed.
type process struct {
	pid  int // of the server; on Unix also of its process group
	done chan struct{}
	code int // the exit status, or 128 + N if signal N ended the server; valid once done is closed
	kill func(hard bool)
}

// terminate asks the server to end. On Windows it kills the server.
func (p *process) terminate() { p.kill(false) }

// killRemaining kills what is left of the server and its process group.
func (p *process) killRemaining() { p.kill(true) }

// logPipe returns the write end of a pipe into log. wait blocks until all of it has been copied.
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
