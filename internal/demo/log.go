package demo

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A serverLog is what a server has written: the newest 64 MiB at the most, in two files
// of which the older is thrown away.
type serverLog struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int
	gone int // bytes that were in files thrown away, and in the older one
}

const logHalf = 32 << 20

func newServerLog(dir string) (*serverLog, error) {
	l := &serverLog{path: filepath.Join(dir, "log")}
	return l, l.openFile()
}

func (l *serverLog) openFile() (err error) {
	l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	l.size = 0
	return err
}

// Write implements io.Writer. A log that finds no room does not end its server.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size >= logHalf {
		_ = l.file.Close()
		_ = os.Rename(l.path, l.path+".1")
		l.gone += l.size
		if err := l.openFile(); err != nil {
			return len(p), nil
		}
	}
	n, _ := l.file.Write(p)
	l.size += n
	return len(p), nil
}

// writtenBytes returns how many bytes the server has written.
func (l *serverLog) writtenBytes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone + l.size
}

// readAll is what there is of it.
func (l *serverLog) readAll() []byte { text, _ := l.readSince(0); return text }

// readSince is what came after the first so many bytes, as far as it is there, and how many
// there were in all.
func (l *serverLog) readSince(n int) ([]byte, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	older, _ := os.ReadFile(l.path + ".1")
	newer, _ := os.ReadFile(l.path)
	text := append(older, newer...)
	total := l.gone + l.size
	if missed := total - n; missed < len(text) {
		text = text[len(text)-max(missed, 0):]
	}
	return text, total
}

// lastLinesOffset is how many bytes come before the last so many lines.
func (l *serverLog) lastLinesOffset(lines int) int {
	text, total := l.readSince(0)
	at := len(bytes.TrimSuffix(text, []byte("\n")))
	for ; lines > 0 && at >= 0; lines-- {
		at = bytes.LastIndexByte(text[:at], '\n')
	}
	return total - len(text) + at + 1
}

func (l *serverLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.file.Close()
}

// lastLines is the end of text from the last n lines on; the last may have no end.
func lastLines(text []byte, n int) []byte {
	at := len(bytes.TrimSuffix(text, []byte("\n")))
	for ; n > 0 && at >= 0; n-- {
		at = bytes.LastIndexByte(text[:at], '\n')
	}
	return text[at+1:]
}

// showLog: the server's log or, if so many are asked for, its last lines, and with an interval what is added to it until the session ends.
func (k *call) showLog() {
	defer k.startLineReader()()
	s := k.findSession()
	if s == nil {
		k.writeLine("gone")
		return
	}
	k.writeHello(s.dir)
	every := time.Duration(k.Int("every")) * time.Second
	shown := 0
	if last := k.Int("last"); last > 0 {
		shown = s.log.lastLinesOffset(last)
	}
	for {
		// Before the look, so that nothing is lost that came in between.
		s.mu.Lock()
		over := s.exited != "" || s.removed
		s.mu.Unlock()
		var text []byte
		first := shown == 0
		if text, shown = s.log.readSince(shown); first && k.Int("last") > 0 {
			text = lastLines(text, k.Int("last"))
		}
		if len(text) > 0 {
			k.writeLine("log", fmt.Sprintf("bytes=%d", len(text)))
			_, _ = k.out.Write(text)
		}
		if over || every == 0 {
			break
		}
		tick := time.NewTimer(every)
		select {
		case <-tick.C:
		case _, ok := <-k.lines:
			over = !ok
		}
		tick.Stop()
		if over {
			break
		}
	}
	k.writeLine("shown")
}
