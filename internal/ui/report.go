package ui

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/clipperhouse/displaywidth"

	"github.com/alps-tunnel/cscs/internal/doctor"
)

// Report returns a function that prints one result of cscs doctor to standard output: for users, or as one JSON
// object per line.
func Report(io *IO, asJSON bool) func(doctor.Result) {
	if asJSON {
		enc := json.NewEncoder(io.Out)
		enc.SetEscapeHTML(false)
		return func(r doctor.Result) { _ = enc.Encode(r) } // if the reader has gone, the rest is not needed
	}
	marks := map[doctor.Status][3]string{
		doctor.OK: {"✓", "ok", green}, doctor.Warning: {"!", "warning", yellow}, doctor.Failure: {"✗", "FAILED", red}, doctor.Skipped: {"·", "-", dim},
	}
	return func(r doctor.Result) {
		mark, indent := fmt.Sprintf("%-7s", marks[r.Status][1]), strings.Repeat(" ", 19)
		if io.Unicode {
			mark, indent = marks[r.Status][0], strings.Repeat(" ", 13)
		}
		if io.OutTTY && io.Color {
			mark = marks[r.Status][2] + mark + reset
		}
		seen := Clean(r.Seen)
		if r.Host != "" && !strings.Contains(seen, r.Host) {
			seen = r.Host + ": " + seen
		}
		lines := []string{seen}
		if io.OutTTY && io.ErrTTY {
			lines = wrapText(seen, io.Width()-len(indent))
		}
		fmt.Fprintf(io.Out, "%s %-10s %s\n", mark, r.Check, strings.Join(lines, "\n"+indent))
		for line := range strings.Lines(r.Hint) {
			line = Clean(line)
			lines := []string{line}
			if io.OutTTY && io.ErrTTY && displaywidth.String(line) > io.Width()-len(indent) {
				lines = wrapWords(splitHint(line, Clean(r.Fix)), io.Width()-len(indent))
			}
			fmt.Fprintln(io.Out, indent+strings.Join(lines, "\n"+indent))
		}
	}
}

// splitHint splits a line of a hint into words. Text to be pasted is one word: the fix, and what follows the
// last colon.
//
// Only here is a hint broken into lines: it is indented, and lines that the terminal breaks would not be.
func splitHint(line, fix string) []string {
	if before, after, ok := strings.Cut(line, fix); ok && fix != "" {
		comma := ""
		if rest, ok := strings.CutPrefix(after, ","); ok {
			comma, after = ",", rest
		}
		return slices.Concat(splitHint(before, ""), []string{fix + comma}, splitHint(after, ""))
	}
	if i := strings.LastIndex(line, ": "); i >= 0 && strings.TrimSpace(line[i+1:]) != "" {
		return append(splitWords(line[:i+1]), strings.TrimSpace(line[i+1:]))
	}
	return splitWords(line)
}
