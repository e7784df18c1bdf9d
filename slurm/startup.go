package slurm

import (
	"context"
	"encoding/base64"
	"io"
	"strings"
	"sync"
	"time"
)

// A StartupLine is a line of a start-up file that is in the way.
type StartupLine struct {
	File string // ~ is the home directory there
	Line string // line number
	Text string
}

func startupLine(l line) *StartupLine {
	if l.get("file") == "" {
		return nil
	}
	return &StartupLine{File: l.get("file"), Line: l.get("line"), Text: l.get("text")}
}

func (s *StartupLine) String() string { return s.File + " line " + s.Line + ": " + s.Text }

// innerMark begins the report of a shell that a start-up file has started. takenMark is printed by
// bootstrap when it reads another line than a header. Both come before the answer.
const (
	innerMark = "\x1ecscs/1 inner"
	takenMark = "cscs: a start-up file has read what was sent to us"
)

// spareLines is the number of empty lines at the beginning of each payload. A start-up file that
// asks a question with read -p gets one of them as the answer, and not our script.
const spareLines = 16

// header returns the line before the script. bootstrap takes the script's length from its end. A
// shell that a start-up file has started reads this line first, as a command: the shell reports
// itself and ends. The line means the same to every shell.
var header = sync.OnceValue(func() string {
	report := "shopt -s extglob\n" + stripComments(readRemoteFile("remote/05-startup.sh")) + "cscs_report_inner\n"
	return `/usr/bin/env bash --noprofile --norc -p -c 'eval "$(printf %s "$1" | base64 -d | GZIP= gzip -dc)"' cscs ` +
		base64.StdEncoding.EncodeToString([]byte(compressText(report))) + `; exit; cscs/1 `
})

// headerMark is the text by which bootstrap recognizes a header.
const headerMark = " cscs/1 "

// startupReport returns the error that a line before the answer reports; nil: it reports none.
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

// innerShell returns the error for a shell, called name, that a start-up file starts in line at.
func innerShell(name string, at *StartupLine) *RemoteError {
	e := &RemoteError{Kind: "inner", Line: at, Message: "a start-up file starts another shell"}
	if name != "" {
		e.Message += " (" + name + ")"
	}
	e.Message += ", which reads our commands"
	if at != nil {
		e.Message += ": " + at.String()
	}
	return e
}

// innerTimeout is the time without an answer after which findInner checks whether the login shell
// has started another shell. Such a shell can wait for the end of its input.
const innerTimeout = 3 * time.Second

// findInner runs the login shell once more, with the header alone. A shell that a start-up file has
// started then reports itself, even fish, which reads all of its input before it runs a line.
// findInner returns nil if there is no such shell, or if that cannot be determined.
func findInner(ctx context.Context, remote Remote) *RemoteError {
	ctx, cancel := context.WithTimeout(ctx, 2*innerTimeout)
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

// watchInner runs findInner if the answer to a call does not begin in time, and calls stop with the
// error that it finds. end ends the watch and a search that is running, and returns that error.
func watchInner(ctx context.Context, remote Remote, stop context.CancelCauseFunc) (end func() *RemoteError) {
	ctx, cancel := context.WithCancel(ctx)
	var found *RemoteError
	searched := make(chan struct{})
	timer := time.AfterFunc(innerTimeout, func() {
		defer close(searched)
		if found = findInner(ctx, remote); found != nil {
			stop(found)
		}
	})
	return func() *RemoteError {
		cancel()
		if !timer.Stop() {
			<-searched
		}
		return found
	}
}
