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
	// As, if set, is who asks for a secret: another program does, too, on the same terminal.
	As string

	in, out *os.File
	typed   *typed // what is typed on in
	lines   *bufio.Reader
	secrets *term.Terminal // kept, since it holds what was typed ahead
}

// NewPrompter opens the terminal, for as long as the process lives: a question that was
// interrupted may still be reading from it. Without one the error is ErrNoTerminal.
func NewPrompter() (*Prompter, error) {
	in, out, err := openTerminal()
	if err != nil {
		return nil, ErrNoTerminal
	}
	t := newTyped(in)
	return &Prompter{in: in, out: out, typed: t, lines: bufio.NewReader(t), secrets: term.NewTerminal(readWriter{t, out}, "")}, nil
}

// Ask asks a question whose answer understand makes a yes or a no of; to what it does not
// understand, again is said. The question stays on the screen: it is a
// decision to be able to look at later.
func (p *Prompter) Ask(ctx context.Context, question, again string, understand func(answer string) (yes, understood bool)) (bool, error) {
	defer p.holdOutput()()
	fmt.Fprint(p.out, cleanText(question))
	for {
		answer, err := readAnswer(ctx, func() (string, error) { return p.lines.ReadString('\n') })
		if err != nil {
			fmt.Fprintln(p.out)
			return false, err
		}
		if yes, ok := understand(strings.TrimSpace(answer)); ok {
			return yes, nil
		}
		fmt.Fprint(p.out, again)
	}
}

// Tell says something on the terminal, between two questions.
func (p *Prompter) Tell(line string) { fmt.Fprintln(p.out, Clean(line)) }

// TellAll says something of several lines before a question.
func (p *Prompter) TellAll(text string) {
	defer p.holdOutput()()
	fmt.Fprintln(p.out, cleanText(text))
}

// ReadLine asks for a line that may be seen.
func (p *Prompter) ReadLine(ctx context.Context, question string) (string, error) {
	defer p.holdOutput()()
	fmt.Fprint(p.out, cleanText(question))
	answer, err := readAnswer(ctx, func() (string, error) { return p.lines.ReadString('\n') })
	if err != nil {
		fmt.Fprintln(p.out)
	}
	return strings.TrimSpace(answer), err
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
	defer p.holdOutput()()
	// Raw mode, and only then the question: who types ahead is not shown either.
	// (term.ReadPassword turns the echo off after the question was seen.)
	fd := int(p.in.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("turn off the terminal's echo: %w", err)
	}
	defer func() { _ = term.Restore(fd, before) }()
	question = cleanText(question)
	if p.As != "" {
		question = p.As + ": " + question
	}
	if i := strings.LastIndexByte(question, '\n'); i >= 0 { // a server's; the last line is taken back
		fmt.Fprint(p.out, strings.ReplaceAll(question[:i+1], "\n", "\r\n"))
		question = question[i+1:]
	}
	_ = p.secrets.SetSize(len(question)+1<<10, 1) // no line ends of its own: the terminal wraps by itself
	answer, err := readAnswer(ctx, func() (string, error) { return p.secrets.ReadPassword(question) })
	if err != nil {
		fmt.Fprint(p.out, "\r\n")
	} else if !isDumb(os.Getenv("TERM")) && enableEscapes(p.out) {
		rows := 1
		if w, _, err := term.GetSize(int(p.out.Fd())); err == nil && w > 0 {
			rows += (len([]rune(question)) - 1) / w
		}
		fmt.Fprintf(p.out, "\x1b[%dA\r\x1b[J", rows)
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

func (p *Prompter) holdOutput() (release func()) {
	if p.Hold == nil {
		return func() {}
	}
	return p.Hold()
}

// readAnswer reads an answer until ctx ends. A read of a terminal cannot be
// broken off on every system; the one that is left behind then ends with
// the process, which is what an interrupted question leads to.
func readAnswer(ctx context.Context, read func() (string, error)) (string, error) {
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
