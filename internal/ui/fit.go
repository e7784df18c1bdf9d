package ui

import (
	"fmt"
	"strings"

	"github.com/clipperhouse/displaywidth"
)

// A row is one line of the block in several wordings, longest first. The first one that fits is shown; if none
// does, the last is truncated.
type row struct {
	words []string
	paint string // colour; "": none
	// If the screen is low, rows of less weight are dropped first.
	weight int
}

// fitWidth returns the wording of the row for w columns.
func (r row) fitWidth(w int, ellipsis string) string {
	for _, s := range r.words {
		if displaywidth.String(s) <= w {
			return s
		}
	}
	return truncateText(r.words[len(r.words)-1], w, ellipsis)
}

// truncateText shortens s to w columns.
func truncateText(s string, w int, ellipsis string) string {
	if w <= displaywidth.String(ellipsis) {
		ellipsis = ""
	}
	return displaywidth.TruncateString(s, max(w, 0), ellipsis)
}

// wrapText breaks s between words into lines of at most w columns. A longer word is not broken.
func wrapText(s string, w int) []string { return wrapWords(strings.Fields(s), w) }

// wrapWords is wrapText for words that may contain spaces.
func wrapWords(words []string, w int) []string {
	var lines []string
	line := ""
	for _, word := range words {
		switch {
		case line == "":
			line = word
		case displaywidth.String(line)+1+displaywidth.String(word) <= w:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line == "" {
		return lines
	}
	return append(lines, line)
}

// limitRows drops rows of the least weight until at most h are left. Of several, it drops the last.
func limitRows(rows []row, h int) []row {
	for len(rows) > max(h, 1) {
		least := 0
		for i, r := range rows {
			if r.weight <= rows[least].weight {
				least = i
			}
		}
		rows = append(rows[:least:least], rows[least+1:]...)
	}
	return rows
}

// formatBar draws part, a fraction of 1, as a bar of n columns.
func formatBar(part float64, n int, unicode bool) string {
	full := min(max(int(part*float64(n)+0.5), 0), n)
	if part > 0 && full == 0 {
		full = min(1, n) // some is left
	}
	if !unicode {
		return strings.Repeat("#", full) + strings.Repeat("-", n-full)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", n-full)
}

// Bytes formats a number of bytes in powers of 1000.
func Bytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n)/1000, 0
	for f >= 999.95 && unit < 4 {
		f, unit = f/1000, unit+1
	}
	if f < 99.95 {
		return fmt.Sprintf("%.1f %cB", f, "kMGTP"[unit])
	}
	return fmt.Sprintf("%.0f %cB", f, "kMGTP"[unit])
}
