package slurm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// ParsedCall is a parsed call of the remote half, for a host that answers it without a shell: the
// embedded cluster (internal/demo). It reverses what payload.go does.
type ParsedCall struct {
	Verb  string
	nonce string
	words map[string]string   // name=value
	lists map[string][]string // name=(…)
}

// IsCall reports whether command is the command line of a call's exec.
func IsCall(command string) bool { return command == bootstrap }

// maxCall is the maximum size of a call in bytes; its longest part is the script.
const maxCall = 16 << 20

// ErrOtherScript reports that another version of cscs made a call: its script differs.
var ErrOtherScript = errors.New("the remote half is that of another version of cscs")

// ScriptSum returns a checksum of the remote half. The program that makes a call and the program
// that answers it must have the same checksum.
func ScriptSum() string {
	sum := sha256.Sum256([]byte(script()))
	return hex.EncodeToString(sum[:8])
}

// ReadCall reads a call from the beginning of standard input. It leaves the rest in r.
func ReadCall(r *bufio.Reader) (*ParsedCall, error) {
	length := ""
	for length == "" { // the spare lines
		s, err := r.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("read a call: %w", err)
		}
		length = strings.TrimSuffix(s, "\n")
	}
	n, err := strconv.Atoi(length[strings.LastIndex(length, " ")+1:])
	if err != nil || n < 0 || n > maxCall {
		return nil, fmt.Errorf("read a call: %.80q ends in no length", length)
	}
	packed := make([]byte, n)
	if _, err := io.ReadFull(r, packed); err != nil {
		return nil, fmt.Errorf("read a call: %w", err)
	}
	text, err := decompressText(packed)
	if err != nil {
		return nil, fmt.Errorf("read a call: %w", err)
	}
	return parseCall(text)
}

// decompressText reverses compressText. It returns at most maxCall bytes.
func decompressText(packed []byte) (string, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxCall))
	return string(text), err
}

const verbBefore, verbAfter = "\ncscs_main \"${1:-", "}\" \"${@:2}\"\n"

// parseCall parses the text of a call. It returns ErrOtherScript if buildPayload did not write it.
func parseCall(text string) (*ParsedCall, error) {
	a := &ParsedCall{words: map[string]string{}, lists: map[string][]string{}}
	p := &assignments{rest: strings.TrimPrefix(text, ownVariables)}
	script := script()
	for !strings.HasPrefix(p.rest, script) {
		if err := p.parseAssignment(a); err != nil {
			return nil, err
		}
	}
	end, ok := strings.CutPrefix(p.rest[len(script):], verbBefore)
	if ok {
		a.Verb, ok = strings.CutSuffix(end, verbAfter)
	}
	if !ok {
		return nil, ErrOtherScript
	}
	a.nonce = a.words["cscs_nonce"]
	return a, nil
}

// assignments are the assignments before the script, as vars writes them.
type assignments struct{ rest string }

// parseAssignment parses one assignment into a.
func (p *assignments) parseAssignment(a *ParsedCall) error {
	name, value, ok := strings.Cut(p.rest, "=")
	if !ok || !strings.HasPrefix(name, "cscs_") || strings.ContainsAny(name, " \n'\"") {
		return ErrOtherScript
	}
	p.rest = value
	switch {
	case p.skipToken("("):
		list := []string{}
		for !p.skipToken(")") {
			before := len(p.rest)
			list = append(list, p.parseWord())
			if len(p.rest) == before {
				return ErrOtherScript
			}
		}
		a.lists[name] = list
	default:
		a.words[name] = p.parseWord()
	}
	if !p.skipToken("\n") {
		return ErrOtherScript
	}
	return nil
}

// skipToken skips blanks, and then s. It reports whether s is there.
func (p *assignments) skipToken(s string) bool {
	var ok bool
	p.rest, ok = strings.CutPrefix(strings.TrimLeft(p.rest, " "), s)
	return ok
}

// parseWord parses a word of a shell, as shellescape.Quote writes it: plain, in single quotes, or a
// single quote in double quotes.
func (p *assignments) parseWord() string {
	var b strings.Builder
	for p.rest != "" {
		switch c := p.rest[0]; c {
		case '\'', '"':
			quoted, rest, _ := strings.Cut(p.rest[1:], string(c))
			b.WriteString(quoted)
			p.rest = rest
		case ' ', '\n', ')', ']':
			return b.String()
		default:
			b.WriteByte(c)
			p.rest = p.rest[1:]
		}
	}
	return b.String()
}

// Get returns the value of a variable of the remote half, named without cscs_; "": it is not set.
func (a *ParsedCall) Get(name string) string { return a.words["cscs_"+name] }

// Int returns Get as a number; 0 if it is not a number.
func (a *ParsedCall) Int(name string) int {
	n, _ := strconv.Atoi(a.Get(name))
	return n
}

// List returns the value of a list variable, named as for Get.
func (a *ParsedCall) List(name string) []string { return a.lists["cscs_"+name] }

// Files returns the names and contents of the files that the call writes for the session.
func (a *ParsedCall) Files() map[string]string {
	files := map[string]string{}
	for pair := range slices.Chunk(a.lists["cscs_files"], 2) {
		files[pair[0]] = pair[len(pair)-1]
	}
	return files
}

// Greeting returns the beginning of the answer.
func (a *ParsedCall) Greeting() string { return "\n" + marker + a.nonce + "\n" }

// Line returns one line of an answer, as cscs_say prints it: a kind and KEY=VALUE fields.
func Line(kind string, fields ...string) string {
	var b strings.Builder
	for i, s := range append([]string{kind}, fields...) {
		if i > 0 {
			b.WriteByte('\t')
		}
		b.WriteString(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, s))
	}
	return b.String() + "\n"
}
