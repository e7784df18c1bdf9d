package slurm

import (
	"context"
	"encoding/base64"
	"io"
	"strings"
	"sync"
	"time"
)

// A StartupLine is the line of a start-up file that is in the way.
type StartupLine struct {
	File string // ~ is the home directory there
	Line string // its number
	Text string
}

func startupLine(l line) *StartupLine {
	if l.get("file") == "" {
		return nil
	}
	return &StartupLine{File: l.get("file"), Line: l.get("line"), Text: l.get("text")}
}

func (s *StartupLine) String() string { return s.File + " line " + s.Line + ": " + s.Text }

// Of the lines that come before the answer: innerMark is that of a shell that a start-up file has
// started; takenMark is the words of bootstrap.
const (
	innerMark = "\x1ecscs/1 inner"
	takenMark = "cscs: a start-up file has read what was sent to us"
)

// spareLines are empty lines that begin each payload: a start-up file that asks something, with read -p, gets
// one of them for an answer, and not our script.
const spareLines = 16

// header is the line before the script. bootstrap takes the script's length from its end. A shell that a start-up file
// has started reads this line first, as a command: it reports itself and ends. The line means the same
// to every shell.
var header = sync.OnceValue(func() string {
	report := "shopt -s extglob\n" + stripComments(readRemoteFile("remote/05-startup.sh")) + "cscs_report_inner\n"
	return `/usr/bin/env bash --noprofile --norc -p -c 'eval "$(printf %s "$1" | base64 -d | GZIP= gzip -dc)"' cscs ` +
		base64.StdEncoding.EncodeToString([]byte(compressText(report))) + `; exit; cscs/1 `
})

// headerMark is what bootstrap knows a header by.
const headerMark = " cscs/1 "

// startupReport is the error that a line before the answer reports; nil: it is none of ours.
func startupReport(s string) *RemoteError {
	if at := strings.Index(s, innerMark+"\t"); at >= 0 {
		l := parseLine(strings.TrimRight(s[at:], "\r\n"))
		return innerShell(l.get("shell"), startupLine(l))
	}
	if strings.Contains(s, takenMark) {
		return &RemoteError{Kind: "input", Message: "a start-up file of the login shell has read what we sent to our command"}
	}
	return nil
}

// innerShell is the error of a shell, called name, that a start-up file has started.
func innerShell(name string, at *StartupLine) *RemoteError {
	e := &RemoteError{Kind: "inner", Line: at, Message: "a start-up file starts another shell"}
	if name != "" {
		e.Message += " (" + name + ")"
	}
	e.Message += ", which takes our commands"
	if at != nil {
		e.Message += ": " + at.String()
	}
	return e
}

// innerPatience is for how long a login shell may say nothing before it is looked whether it has started
// another one, which waits for the end of what is sent to it.
const innerPatience = 3 * time.Second

// findInner asks the login shell once more, with the header alone. A shell that a start-up file has started, and that
// runs nothing before it has read all (fish), reports itself then. It returns nil if there is none, or if
// that cannot be known.
func findInner(ctx context.Context, remote Remote) *RemoteError {
	ctx, cancel := context.WithTimeout(ctx, 2*innerPatience)
	defer cancel()
	var out tail
	_ = remote.Exec(ctx, bootstrap, strings.NewReader(header()+"0\n"), &out, io.Discard)
	for s := range strings.Lines(out.String()) {
		if e := startupReport(s); e != nil && e.Kind == "inner" {
			return e
		}
	}
	return nil
}

// An innerWatch looks for such a shell while the answer to a call does not begin.
type innerWatch struct {
	timer  *time.Timer
	cancel context.CancelFunc
	wg     sync.WaitGroup
	found  *RemoteError
}

// watchInner calls stop with the error if it finds one before end is called.
func watchInner(ctx context.Context, remote Remote, stop context.CancelCauseFunc) *innerWatch {
	w := &innerWatch{}
	ctx, w.cancel = context.WithCancel(ctx)
	w.wg.Add(1)
	w.timer = time.AfterFunc(innerPatience, func() {
		defer w.wg.Done()
		if e := findInner(ctx, remote); e != nil {
			w.found = e
			stop(e)
		}
	})
	return w
}

// endWatch ends the look that is under way, if there is one, and returns what was found.
func (w *innerWatch) endWatch() *RemoteError {
	w.cancel()
	if w.timer.Stop() {
		w.wg.Done()
	}
	w.wg.Wait()
	return w.found
}
