package sshconfig

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The lines around our part of the user's file.
const (
	blockBegin = "# >>> cscs >>>"
	blockEnd   = "# <<< cscs <<<"
)

// A BlockError reports that the user's file contains markers of ours that are not one block, or other
// lines between them. So it is not known which lines are ours.
type BlockError struct {
	File   string
	Line   int  // of the first marker, or of the other line, from 1
	Inside bool // another line is in the block
}

func (e *BlockError) Error() string {
	if e.Inside {
		return fmt.Sprintf("%s has a line that is not cscs's (line %d) between %q and %q", e.File, e.Line, blockBegin, blockEnd)
	}
	return fmt.Sprintf("%s has markers of cscs (line %d) that are not one block from %q to %q", e.File, e.Line, blockBegin, blockEnd)
}

// block returns our part of the user's file.
func (f Files) block() string {
	return blockBegin + "\n# cscs ssh-config --install replaces these lines, and --uninstall removes them.\n" +
		f.includeLine() + "\n" + blockEnd + "\n"
}

// includeLine returns the line by which the user's file includes ours. Earlier versions wrote it without
// a block.
func (f Files) includeLine() string {
	part := f.Part
	if includeHome() == passwdHome() {
		part = Tilde(part)
	}
	return "Include " + quotePath(part)
}

// Tilde returns path with ~ for the home directory, if ssh expands ~ to that.
func Tilde(path string) string {
	home := passwdHome()
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok && home != "" {
		return "~/" + filepath.ToSlash(rest)
	}
	return path
}

// quotePath returns a path as a word of an Include line, without further expansion. It replaces
// characters that versions of ssh read differently by ?, which matches them.
func quotePath(path string) string {
	path = filepath.ToSlash(path)
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case strings.IndexByte("*?[", c) >= 0:
			b.WriteString("[" + string(c) + "]")
		case strings.IndexByte("\"\\%$", c) >= 0, c < ' ', c == 0x7f:
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	q, _ := quoteArgument(b.String()) // b contains nothing that it refuses
	return q
}

// findBlock returns where our block is: data[start:end] are its lines. Without a block, that is the
// Include line that earlier versions wrote. If there is neither, start and end are 0.
//
// Errors: *BlockError.
func (f Files) findBlock(data []byte) (start, end int, err error) {
	begins, ends := findLines(data, blockBegin), findLines(data, blockEnd)
	markers := slices.Concat(begins, ends)
	switch {
	case len(begins) == 1 && len(ends) == 1 && begins[0] < ends[0]:
		inside := endOfLine(data, begins[0])
		if at := f.findForeignLine(data[inside:ends[0]]); at >= 0 {
			return 0, 0, &BlockError{File: f.Config, Line: 1 + bytes.Count(data[:inside+at], []byte("\n")), Inside: true}
		}
		return begins[0], endOfLine(data, ends[0]), nil
	case len(markers) > 0:
		return 0, 0, &BlockError{File: f.Config, Line: 1 + bytes.Count(data[:slices.Min(markers)], []byte("\n"))}
	}
	if old := findLines(data, f.includeLine()); len(old) > 0 {
		return old[0], endOfLine(data, old[0]), nil
	}
	return 0, 0, nil
}

// findForeignLine returns the index of the first line between the markers that no version of cscs has
// written: neither empty, nor our comment, nor an Include of our file, wherever that was; -1: none.
func (f Files) findForeignLine(lines []byte) int {
	at := 0
	for line := range bytes.Lines(lines) {
		text := strings.TrimSpace(string(line))
		isOurs := strings.HasPrefix(text, "# cscs ") || strings.HasPrefix(text, "Include ") && strings.Contains(text, filepath.Base(f.Part))
		if text != "" && !isOurs {
			return at
		}
		at += len(line)
	}
	return -1
}

// findLines returns the indexes of the lines with this text. Their end may be that of Windows.
func findLines(data []byte, text string) (starts []int) {
	at := 0
	for line := range bytes.Lines(data) {
		if string(bytes.TrimRight(line, "\r\n")) == text {
			starts = append(starts, at)
		}
		at += len(line)
	}
	return starts
}

// endOfLine returns the index after the line that begins at start.
func endOfLine(data []byte, start int) int {
	if n := bytes.IndexByte(data[start:], '\n'); n >= 0 {
		return start + n + 1
	}
	return len(data)
}

// section matches a line that begins a section of ssh_config(5). An Include behind it is a part of it.
var section = regexp.MustCompile(`(?im)^[ \t\r]*"?(?:host|match)(?:["=\s]|$)`)

// firstSection returns the index of the first line that begins a section, or the length of data.
func firstSection(data []byte) int {
	if at := section.FindIndex(data); at != nil {
		return at[0]
	}
	return len(data)
}

// putBlock puts our block where it was. It puts it at the top if there was none or if it was behind the
// beginning of a section.
//
// Errors: *BlockError.
func (f Files) putBlock(data []byte) ([]byte, error) {
	start, end, err := f.findBlock(data)
	if err != nil {
		return nil, err
	}
	if start > firstSection(data) {
		return slices.Concat([]byte(f.block()), data[:start], data[end:]), nil
	}
	return slices.Concat(data[:start], []byte(f.block()), data[end:]), nil
}

// removeBlock returns data without our block.
//
// Errors: *BlockError.
func (f Files) removeBlock(data []byte) ([]byte, error) {
	start, end, err := f.findBlock(data)
	return slices.Concat(data[:start], data[end:]), err
}
