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

// ErrNoTerminal is returned if there is no terminal for questions.
var ErrNoTerminal = errors.New("there is no terminal for questions")

// ErrInterrupted is returned if the user answers a question with Ctrl-C.
var ErrInterrupted = errors.New("interrupted")

// A Prompter asks questions on the terminal itself, as ssh does. Standard input may be a file and standard
// error a log while the user is at the terminal.
type Prompter struct {
	// Hold, if set, blocks all other output until the answer is there.
	Hold func() (release func())
	// Interrupt, if set, is called for a Ctrl-C that the terminal does not turn into a signal.
	Interrupt func()
	// As, if set, names the program that asks for a secret, since another program may ask on the same terminal.
	As string

	in, out *os.File
	typed   *typed // reads from in
	lines   *bufio.Reader
	secrets *term.Terminal // kept, since it holds what the user typed ahead
}

// NewPrompter opens the terminal until the process ends, since an interrupted question may still read from it.
// Without a terminal the error is ErrNoTerminal.
func NewPrompter() (*Prompter, error) {
	in, out, err := openTerminal()
	if err != nil {
		return nil, ErrNoTerminal
	}
	t := newTyped(in)
	return &Prompter{in: in, out: out, typed: t, lines: bufio.NewReader(t), secrets: term.NewTerminal(readWriter{t, out}, "")}, nil
}

// Ask asks a question until understand turns the answer into yes or no. After any other answer it prints again.
// The question stays on the screen, so that the user can look the decision up later.
func (p *Prompter) Ask(ctx context.Context, question, again string, understand func(answer string) (yes, understood bool)) (bool, error) {
	defer p.holdOutput()()
	fmt.Fprint(p.out, cleanText(question))
	for {
		answer, err := p.readLine(ctx)
		if err != nil {
			return false, err
		}
		if yes, ok := understand(answer); ok {
			return yes, nil
		}
		fmt.Fprint(p.out, again)
	}
}

// Tell prints a line on the terminal, between two questions.
func (p *Prompter) Tell(line string) { fmt.Fprintln(p.out, Clean(line)) }

// TellAll prints several lines before a question.
func (p *Prompter) TellAll(text string) {
	defer p.holdOutput()()
	fmt.Fprintln(p.out, cleanText(text))
}

// ReadLine asks for a line and echoes it.
func (p *Prompter) ReadLine(ctx context.Context, question string) (string, error) {
	defer p.holdOutput()()
	fmt.Fprint(p.out, cleanText(question))
	return p.readLine(ctx)
}

// readLine reads an answer. Without one, it ends the line of the question.
func (p *Prompter) readLine(ctx context.Context) (string, error) {
	answer, err := readAnswer(ctx, func() (string, error) { return p.lines.ReadString('\n') })
	if err != nil {
		fmt.Fprintln(p.out)
	}
	return strings.TrimSpace(answer), err
}

// cleanText is Clean for several lines. The last may be a question that ends in a space.
func cleanText(s string) string {
	lines := strings.SplitAfter(s, "\n")
	for i, l := range lines {
		end := l[len(strings.TrimRight(l, " \n")):]
		lines[i] = CleanLine(l) + end
	}
	return strings.Join(lines, "")
}

// ReadSecret asks for a secret without echo, and erases the question afterwards.
func (p *Prompter) ReadSecret(ctx context.Context, question string) ([]byte, error) {
	defer p.holdOutput()()
	// Set raw mode before the question, so that text typed ahead is not echoed either. term.ReadPassword would
	// disable echo after the question is visible.
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
	if i := strings.LastIndexByte(question, '\n'); i >= 0 { // asked by a server; only the last line is erased
		fmt.Fprint(p.out, strings.ReplaceAll(question[:i+1], "\n", "\r\n"))
		question = question[i+1:]
	}
	_ = p.secrets.SetSize(len(question)+1<<10, 1) // the terminal wraps lines, not this Terminal
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

// readAnswer reads an answer until ctx ends. A pending read of a terminal cannot be cancelled on every system.
// It then stays until the process ends, and an interrupted question ends the process.
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
