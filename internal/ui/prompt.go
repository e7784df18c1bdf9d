package ui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// ErrNoTerminal says that there is nobody to ask.
var ErrNoTerminal = errors.New("there is no terminal to ask on")

// ErrInterrupted says that a question was answered by Ctrl-C.
var ErrInterrupted = errors.New("interrupted")

// A Prompter asks questions on the terminal itself, as ssh does: standard input may
// be a file and standard error a log, and the person still sits there.
type Prompter struct {
	// Hold, if set, keeps everybody else from writing until the answer is there.
	Hold func() (release func())
	// Interrupt, if set, is called for a Ctrl-C that the terminal made no signal of.
	Interrupt func()
}

// CanAsk says whether there is a terminal to ask on.
func CanAsk() bool {
	in, out, err := openTerminal()
	if err != nil {
		return false
	}
	closeTerminal(in, out)
	return true
}

// Ask asks a question whose answer understand makes a yes or a no of; to what it does not
// understand, again is said. The question stays on the screen: it is a
// decision to be able to look at later.
func (p *Prompter) Ask(ctx context.Context, question, again string, understand func(answer string) (yes, understood bool)) (bool, error) {
	in, out, release, err := p.open(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	fmt.Fprint(out, cleanText(question))
	lines := bufio.NewReader(in)
	for {
		answer, err := interruptible(ctx, func() (string, error) { return lines.ReadString('\n') })
		if err != nil {
			fmt.Fprintln(out)
			return false, err
		}
		if yes, ok := understand(strings.TrimSpace(answer)); ok {
			return yes, nil
		}
		fmt.Fprint(out, again)
	}
}

// cleanText is Clean for text of several lines, the last of which may be a question
// with a space behind it.
func cleanText(s string) string {
	lines := strings.SplitAfter(s, "\n")
	for i, l := range lines {
		end := l[len(strings.TrimRight(l, " \n")):]
		lines[i] = CleanLine(l) + end
	}
	return strings.Join(lines, "")
}

// ReadSecret asks for something that must not be seen, and takes the question back
// afterwards.
func (p *Prompter) ReadSecret(ctx context.Context, question string) ([]byte, error) {
	in, out, release, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	// Raw mode, and only then the question: who types ahead is not shown either.
	// (term.ReadPassword turns the echo off after the question was seen.)
	fd := int(in.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("turn off the terminal's echo: %w", err)
	}
	defer func() { _ = term.Restore(fd, before) }()
	screen := term.NewTerminal(readWriter{in, out}, "")
	if w, h, err := term.GetSize(int(out.Fd())); err == nil && w > 0 {
		_ = screen.SetSize(w, h) // it only fails to write
	}
	answer, err := interruptible(ctx, func() (string, error) { return screen.ReadPassword(cleanText(question)) })
	if err != nil {
		fmt.Fprint(out, "\r\n")
	} else if os.Getenv("TERM") != "dumb" && enableEscapes(out) {
		fmt.Fprint(out, "\x1b[A\r\x1b[K")
	}
	if errors.Is(err, io.EOF) { // Ctrl-C, which is no signal in raw mode, or Ctrl-D
		if p.Interrupt != nil {
			p.Interrupt()
		}
		err = ErrInterrupted
	}
	return []byte(answer), err
}

type readWriter struct {
	io.Reader
	io.Writer
}

func (p *Prompter) open(ctx context.Context) (in, out *os.File, release func(), err error) {
	in, out, err = openTerminal()
	if err != nil {
		return nil, nil, nil, ErrNoTerminal
	}
	held := func() {}
	if p.Hold != nil {
		held = p.Hold()
	}
	return in, out, func() {
		// A read that was left behind must not find another file under the same number.
		if ctx.Err() == nil {
			closeTerminal(in, out)
		}
		held()
	}, nil
}

func closeTerminal(in, out *os.File) {
	_ = in.Close() // nothing was written that could be lost
	if out != in {
		_ = out.Close()
	}
}

// interruptible reads an answer until ctx ends. A read of a terminal cannot be
// broken off on every system; the one that is left behind then ends with
// the process, which is what an interrupted question leads to.
func interruptible(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		answer string
		err    error
	}
	got := make(chan result, 1)
	go func() {
		a, err := read()
		got <- result{a, err}
	}()
	select {
	case r := <-got:
		return r.answer, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
