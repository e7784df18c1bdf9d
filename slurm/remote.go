package slurm

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

// Remote runs a command on a host of the cluster. The SSH connection to the login node implements
// it. Package slurm needs nothing else of a connection.
type Remote interface {
	// Exec runs command in the user's login shell on the host, as an SSH exec does (RFC 4254,
	// section 6.5). It returns when the command or ctx ends.
	Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error
}

//go:embed remote/*.sh
var remoteFiles embed.FS

// script returns the remote half as the client sends it: its files, joined in the order of their
// names, without comments. Like header, it is built at first use: many commands send nothing.
var script = sync.OnceValue(func() string {
	var b strings.Builder
	names, err := fs.Glob(remoteFiles, "remote/*.sh")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, name := range names {
		b.WriteString(stripComments(readRemoteFile(name)))
	}
	return b.String()
})

// stripComments returns text without comment lines and empty lines. No string of the remote half
// contains either.
func stripComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if code := strings.TrimLeft(line, "\t"); code != "\n" && !strings.HasPrefix(code, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func readRemoteFile(name string) string {
	text, err := remoteFiles.ReadFile(name)
	if err != nil {
		panic(err) // embedded
	}
	return string(text)
}

// bootstrap is the command line of every exec. It reads a header with a length, and that many bytes
// of compressed script, from standard input. The rest of standard input is left to the script.
//
// The script is compressed because a new connection carries about 14 KB in its first round trip,
// and twice as much in each that follows (RFC 6928). The uncompressed script would cost two more
// round trips.
//
// The line means the same to every login shell, and shows nothing of the session to users who list
// processes. It calls one program by its path: no alias or function of the user's can have such a
// name, as one can be named exec or bash. The options keep bash from reading the user's start-up
// files a second time. They also keep bash from taking functions and options from the environment
// (bash(1), -p). bash passes these on to its children.
const bootstrap = `/usr/bin/env bash --noprofile --norc -p -c 'while IFS= read -r n; do case $n in` +
	` "") ;; *"` + headerMark + `"*) script=; export -n script; script=$(head -c "${n##* }" | GZIP= gzip -dc); eval "$script"; exit ;;` +
	` *) echo "` + takenMark + `"; exit 1 ;; esac; done' cscs`

// A call runs one verb of the remote half.
type call struct {
	verb string
	vars *vars
	// handle gets each line of the answer; an error ends the call.
	handle func(line) error
	// raw, if set, reads the bytes that follow a line "log".
	raw func(io.Reader) error
	// stdin follows the script on standard input; nil closes standard input.
	stdin io.Reader
	// tap, if set, wraps the writer that gets the command's output.
	tap func(io.Writer) io.Writer
}

// errorKinds are the kinds of RemoteError: those that the remote half reports (cscs_die), and our own.
var errorKinds = []string{"shell", "hang", "inner", "input", "noslurm", "slurm", "home", "nodir", "exposed", "gone", "away", "nonode", "unknownnode",
	"nosshd", "nojob", "nologin", "revoked", "protocol"}

// IsErrorKind reports whether kind is one of RemoteError's.
func IsErrorKind(kind string) bool { return slices.Contains(errorKinds, kind) }

// RemoteError reports that the remote half could not do its work on the host.
type RemoteError struct {
	Kind    string // one of errorKinds
	Message string
	Output  string       // what the login shell printed instead, if anything
	Line    *StartupLine // of kind inner: the line that starts the other shell; nil: not found
	Path    string       // of kind nodir: the file in place of a directory; of kind exposed: the directory
}

func (e *RemoteError) Error() string { return e.Message }

// BeforeRequest reports whether the error ended Submit before it asked Slurm for anything.
func (e *RemoteError) BeforeRequest() bool {
	return slices.Contains([]string{"shell", "inner", "input", "noslurm", "home", "nodir", "exposed"}, e.Kind)
}

const marker = "\x1ecscs/1 "

// run runs the verb on remote and passes each line of the answer to c.handle. It returns nil if the
// verb ended and its answer has no error line, even if its exit status is not 0. A line "error" is
// returned as *RemoteError.
func (c call) run(ctx context.Context, remote Remote) error {
	if c.vars.err != nil {
		return c.vars.err
	}
	payload, mark := c.buildPayload()
	var stdin io.Reader = strings.NewReader(payload)
	if c.stdin != nil {
		stdin = io.MultiReader(stdin, c.stdin)
	}

	whole := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pr, pw := io.Pipe()
	var stdout io.Writer = pw
	if c.tap != nil {
		stdout = c.tap(pw)
	}
	var stderr tail
	done := make(chan error, 1)
	go func() {
		err := remote.Exec(ctx, bootstrap, stdin, stdout, &stderr)
		pw.CloseWithError(io.EOF)
		done <- err
	}()
	br := bufio.NewReaderSize(pr, 64<<10)
	endWatch := watchInner(ctx, remote, cancel)
	readErr := readMark(br, mark)
	inner := endWatch()
	if readErr == nil {
		readErr = c.readLines(br)
	}
	if readErr != nil {
		cancel(readErr)
	}
	// The rest of the answer is not needed. Closing the pipe keeps its writer from blocking.
	pr.CloseWithError(errors.New("answer is complete"))
	execErr := <-done
	var shell *RemoteError
	switch {
	case inner != nil && readErr != nil:
		return inner
	case errors.As(readErr, &shell) && shell.Kind == "shell":
		if !hasExited(execErr) {
			return execErr // the connection broke; the shell did not end
		}
		if s := strings.TrimSpace(stderr.String()); s != "" {
			shell.Output = strings.TrimSpace(shell.Output + "\n" + s)
		}
		if inner := findInner(whole, remote); inner != nil {
			return inner
		}
		return shell
	case readErr != nil:
		return readErr
	case execErr != nil && !hasExited(execErr):
		return execErr
	}
	return nil
}

// runToEnd is run for an answer that ends with a line of the kind last. It returns *RemoteError of
// kind "protocol" if the answer lacks that line.
func (c call) runToEnd(ctx context.Context, remote Remote, last string) error {
	complete, handle := false, c.handle
	c.handle = func(l line) error {
		complete = complete || l.kind == last
		return handle(l)
	}
	if err := c.run(ctx, remote); err != nil || complete {
		return err
	}
	return &RemoteError{Kind: "protocol", Message: "the login node's answer was cut short"}
}

// runWithInput is run with what feed writes as the rest of standard input. The context of feed ends
// with the call, and runWithInput returns after feed.
func (c call) runWithInput(ctx context.Context, remote Remote, feed func(context.Context, io.Writer)) error {
	stdin, w := io.Pipe()
	c.stdin = stdin
	ctx, cancel := context.WithCancel(ctx)
	var feeding sync.WaitGroup
	feeding.Go(func() {
		defer w.Close()
		feed(ctx, w)
	})
	defer func() { cancel(); stdin.Close(); feeding.Wait() }()
	return c.run(ctx, remote)
}

// readAnswer reads an answer, with the line with the marker.
func (c call) readAnswer(br *bufio.Reader, mark string) error {
	if err := readMark(br, mark); err != nil {
		return err
	}
	return c.readLines(br)
}

// readMark reads up to the line with the marker. It returns *RemoteError if a start-up file is in
// the way, or if the shell ends before that line.
func readMark(br *bufio.Reader, mark string) error {
	var before tail
	for {
		s, err := br.ReadString('\n')
		if strings.TrimRight(s, "\n") == mark {
			return nil
		}
		if report := startupReport(s); report != nil {
			return report
		}
		_, _ = before.Write([]byte(s))
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err != nil {
			return &RemoteError{
				Kind:    "shell",
				Message: "the login shell ended before it ran our command",
				Output:  strings.TrimSpace(before.String()),
			}
		}
	}
}

// readLines passes the lines of the answer to c.handle. It returns a line "error" as *RemoteError.
func (c call) readLines(br *bufio.Reader) error {
	for {
		s, err := br.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil // ignores a line without its end: the connection cut it off
		}
		if err != nil {
			return err
		}
		l := parseLine(strings.TrimRight(s, "\n"))
		if l.kind == "error" {
			e := &RemoteError{Kind: l.get("kind"), Message: l.get("message"), Path: cleanMessage(l.get("path"))}
			if !IsErrorKind(e.Kind) { // it would become a part of a problem's ID, which users publish
				e.Kind = "protocol"
			}
			return e
		}
		if err := l.checkFields(); err != nil {
			return err
		}
		if c.handle != nil {
			if err := c.handle(l); err != nil {
				return err
			}
		}
		if l.kind == "log" && c.raw != nil {
			if err := c.raw(io.LimitReader(br, l.getInt("bytes"))); err != nil {
				return err
			}
		}
	}
}

// hasExited reports whether err means that the command ended, and not the connection.
func hasExited(err error) bool {
	return err == nil || errors.As(err, new(interface{ ExitStatus() int }))
}

// tail keeps the last 4 KiB written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - 4096; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.b) }
