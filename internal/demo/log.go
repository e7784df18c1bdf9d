package demo

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A serverLog is a server's output. It keeps the newest 64 MiB at most, in two files, and
// removes the older one when the newer one is full.
type serverLog struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int
	gone int // bytes in all files before the current one
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

// Write implements io.Writer. It never fails, so a full disk does not end the server.
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

// readAll returns the output that is kept.
func (l *serverLog) readAll() []byte { text, _ := l.readSince(0); return text }

// readSince returns the output after the first n bytes, as far as it is kept, and the number of
// bytes in all.
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

// lastLinesOffset returns the number of bytes before the last lines.
func (l *serverLog) lastLinesOffset(lines int) int {
	text, total := l.readSince(0)
	return total - len(lastLines(text, lines))
}

func (l *serverLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.file.Close()
}

// lastLines returns the last n lines of text. The last line may lack its newline.
func lastLines(text []byte, n int) []byte {
	at := len(bytes.TrimSuffix(text, []byte("\n")))
	for ; n > 0 && at >= 0; n-- {
		at = bytes.LastIndexByte(text[:at], '\n')
	}
	return text[at+1:]
}

// showLog answers the verb log: the server's log, or only its last lines. With an interval it
// also sends what is added until the session ends.
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
		// Read before the log, so no output between the two reads is lost.
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
