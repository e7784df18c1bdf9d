package slurm

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
)

// Remote runs a command on a host of the cluster. The connection to the login
// node is one; nothing else of a connection is needed here.
type Remote interface {
	// Exec runs command by the user's login shell there, as an SSH exec does
	// (RFC 4254, section 6.5), until it ends or ctx does.
	Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error
}

//go:embed remote/*.sh
var remoteFiles embed.FS

// script is the remote half, its files joined in the order of their names, as it is sent. Like header, it is made
// when it is first needed: many commands send nothing.
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

// stripComments leaves out lines of comment and empty lines. No string of the remote half has either.
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

// bootstrap is the command line of every exec: it reads a header with a length, and so many bytes of
// compressed script, from standard input, which leaves the rest of standard input to the script. A new
// connection carries some 14 KB in its first round trip and twice as much in each that follows (RFC 6928),
// so a script sent as it stands would cost two more. It means the same to every login shell, and shows nothing of the
// session to those who list processes. It calls one program by its path, since no alias or function
// of the user's has such a name, as one may have the name exec or bash. The options keep bash from
// reading the user's start-up files a second time, and from the functions and options in the
// environment (bash(1), -p), which it hands on.
const bootstrap = `/usr/bin/env bash --noprofile --norc -p -c 'while IFS= read -r n; do case $n in` +
	` "") ;; *"` + headerMark + `"*) script=; export -n script; script=$(head -c "${n##* }" | GZIP= gzip -dc); eval "$script"; exit ;;` +
	` *) echo "` + takenMark + `"; exit 1 ;; esac; done' cscs`

// A call is one verb of the remote half at work.
type call struct {
	verb string
	vars *vars
	// handle is given each line of the answer; false ends the call.
	handle func(line) error
	// raw, if set, takes over the rest of the answer after a line "log".
	raw func(io.Reader) error
	// stdin goes on after the script; nil: standard input is closed.
	stdin io.Reader
}

// RemoteError tells that the remote half could not do its work on the host.
type RemoteError struct {
	Kind    string // shell, hang, inner, input, noslurm, home, nodir, exposed, gone, away, nonode, nosshd, nologin, revoked, protocol
	Message string
	Output  string       // what the login shell printed instead, if it did
	Line    *StartupLine // of kind inner: the line that starts the other shell, if it was found
	Path    string       // of kind nodir: what is there instead of a directory; of kind exposed: the directory
}

func (e *RemoteError) Error() string { return e.Message }

// BeforeRequest reports whether the error kept Submit from asking Slurm for anything.
func (e *RemoteError) BeforeRequest() bool {
	switch e.Kind {
	case "shell", "inner", "input", "noslurm", "home", "nodir", "exposed":
		return true
	}
	return false
}

const marker = "\x1ecscs/1 "

// run runs the verb on remote and hands each line of its answer to c.handle. It
// returns nil when the verb ended, whatever it said.
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
	var stderr tail
	done := make(chan error, 1)
	go func() {
		err := remote.Exec(ctx, bootstrap, stdin, pw, &stderr)
		pw.CloseWithError(io.EOF)
		done <- err
	}()
	br := bufio.NewReaderSize(pr, 64<<10)
	watch := watchInner(ctx, unwrapRemote(remote), cancel)
	readErr := readMark(br, mark)
	inner := watch.endWatch()
	if readErr == nil {
		readErr = c.readLines(br)
	}
	if readErr != nil {
		cancel(readErr)
	}
	// The rest of the answer, if any, is of no interest; a writer must not hang on it.
	pr.CloseWithError(errors.New("answer is complete"))
	execErr := <-done
	var shell *RemoteError
	switch {
	case inner != nil && readErr != nil:
		return inner
	case errors.As(readErr, &shell) && shell.Kind == "shell":
		if !hasExited(execErr) {
			return execErr // the connection ended, not the shell
		}
		if s := strings.TrimSpace(stderr.String()); s != "" {
			shell.Output = strings.TrimSpace(shell.Output + "\n" + s)
		}
		if inner := findInner(whole, unwrapRemote(remote)); inner != nil {
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

// ownVariables makes the variables cscs_* those of the script alone: one of the environment would
// stand for what the client has not set. The user's login shell, which is the launch, may have functions
// named like commands, and uses none that the client does not set.
const ownVariables = `[[ ${1-} == launch ]] || unset -v "${!cscs_@}"` + "\n"

// buildPayload is what bootstrap reads from standard input, and the line with which the
// answer to it begins.
func (c call) buildPayload() (text, mark string) {
	nonce := rand.Text()
	c.vars.setValue("cscs_nonce", nonce)
	text = ownVariables + c.vars.String() + script() + verbBefore + c.verb + verbAfter
	return frameScript(text), marker + nonce
}

// frameScript is a script as bootstrap reads it.
func frameScript(text string) string {
	packed := compressText(text)
	return fmt.Sprintf("%s%s%d\n%s", strings.Repeat("\n", spareLines), header(), len(packed), packed)
}

// compressText compresses text (RFC 1952).
func compressText(text string) string {
	var b strings.Builder
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text) // a Builder takes all
	_ = w.Close()
	return b.String()
}

// readAnswer reads the answer after the line with the marker.
func (c call) readAnswer(br *bufio.Reader, mark string) error {
	if err := readMark(br, mark); err != nil {
		return err
	}
	return c.readLines(br)
}

// readMark reads up to the line with the marker.
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

// readLines reads the lines of the answer.
func (c call) readLines(br *bufio.Reader) error {
	for {
		s, err := br.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil // a last line without its end was cut off with the connection
		}
		if err != nil {
			return err
		}
		l := parseLine(strings.TrimRight(s, "\n"))
		if l.kind == "error" {
			return &RemoteError{Kind: l.get("kind"), Message: l.get("message"), Path: cleanMessage(l.get("path"))}
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

// hasExited reports whether err means that the command ran to an end of its own,
// good or bad, as opposed to a connection that broke.
func hasExited(err error) bool {
	if err == nil {
		return true
	}
	var status interface{ ExitStatus() int }
	return errors.As(err, &status)
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
