package session

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// tailLines is how many lines of the server's log an error shows.
const tailLines = 20

// serverLog is the laptop's copy of the server's log: a file with mode 0600, made with the first
// byte. Its last part is also kept in memory, to be shown.
type serverLog struct {
	dir, id, app string

	file *os.File
	path string
	last []byte
}

// Write implements io.Writer.
func (l *serverLog) Write(p []byte) (int, error) {
	l.last = append(l.last, p...)
	if n := len(l.last) - 16<<10; n > 0 {
		l.last = append(l.last[:0], l.last[n:]...)
	}
	if l.dir == "" {
		return len(p), nil
	}
	if l.file == nil {
		if err := sessionid.Check(l.id); err != nil {
			return 0, err
		}
		if err := os.MkdirAll(l.dir, 0o700); err != nil {
			return 0, err
		}
		name := l.app // from a record or the cluster, so not trusted
		if !app.IsName(name) {
			name = "run"
		}
		path := filepath.Join(l.dir, l.id+"-"+name+".log")
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return 0, err
		}
		l.file, l.path = f, path
	}
	return l.file.Write(p)
}

// restart discards the content: the log will be sent again from its beginning.
func (l *serverLog) restart() {
	l.last = nil
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil // the next Write opens and truncates it
	}
}

func (l *serverLog) close() {
	if l.file != nil {
		_ = l.file.Close()
	}
}

// tail returns the last lines.
func (l *serverLog) tail() []string {
	text := strings.TrimRight(string(bytes.ToValidUTF8(l.last, []byte("\uFFFD"))), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	if n := len(lines) - tailLines; n > 0 {
		lines = lines[n:]
	}
	return lines
}
