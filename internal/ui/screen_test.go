package ui

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/clipperhouse/displaywidth"
)

// A screen is a terminal of a fixed size as far as the live view uses one, with all that has
// scrolled off its top.
type screen struct {
	w, h   int
	lines  [][]string // of cells; the last h are the screen
	x, y   int        // y counts from the first line ever
	nowrap bool       // what goes beyond the last column is written into it
	parked bool       // behind the last column: the next letter wraps
	odd    []string   // sequences that it does not know
}

func newScreen(w, h int) *screen {
	s := &screen{w: w, h: h}
	s.reach(0)
	return s
}

// reach has the line y exist.
func (s *screen) reach(y int) {
	for len(s.lines) <= y {
		s.lines = append(s.lines, nil)
	}
}

// top is the first line that is still on the screen.
func (s *screen) top() int { return max(len(s.lines)-s.h, 0) }

func (s *screen) Write(p []byte) (int, error) {
	rest := string(p)
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, "\x1b["):
			end := strings.IndexFunc(rest[2:], func(r rune) bool { return r >= '@' && r <= '~' }) + 2
			s.control(rest[2:end], rest[end])
			rest = rest[end+1:]
		case rest[0] == '\r':
			s.x, s.parked, rest = 0, false, rest[1:]
		case rest[0] == '\n': // as the kernel writes it, with a carriage return
			s.x, s.y, s.parked, rest = 0, s.y+1, false, rest[1:]
			s.reach(s.y)
		default:
			r, n := utf8.DecodeRuneInString(rest)
			s.put(string(r))
			rest = rest[n:]
		}
	}
	return len(p), nil
}

func (s *screen) put(c string) {
	n := displaywidth.String(c)
	if s.nowrap && s.x+n > s.w {
		s.x, s.parked = s.w-n, false
	}
	if s.parked && !s.nowrap || s.x+n > s.w {
		s.x, s.y, s.parked = 0, s.y+1, false
		s.reach(s.y)
	}
	for len(s.lines[s.y]) < s.x+n {
		s.lines[s.y] = append(s.lines[s.y], " ")
	}
	s.lines[s.y][s.x] = c
	for i := 1; i < n; i++ {
		s.lines[s.y][s.x+i] = ""
	}
	if s.x += n; s.x >= s.w {
		s.x, s.parked = s.w-1, true
	}
}

func (s *screen) control(args string, what byte) {
	n, _ := strconv.Atoi(args)
	switch what {
	case 'h', 'l':
		if args == "?7" {
			s.nowrap = what == 'l'
		}
	case 'm':
	case 'A':
		s.y, s.parked = max(s.y-max(n, 1), s.top()), false
	case 'C':
		s.x, s.parked = min(s.x+max(n, 1), s.w-1), false
	case 'K', 'J':
		if len(s.lines[s.y]) > s.x {
			s.lines[s.y] = s.lines[s.y][:s.x]
		}
		for i := s.y + 1; what == 'J' && i < len(s.lines); i++ {
			s.lines[i] = nil
		}
	default:
		s.odd = append(s.odd, args+string(what))
	}
}

// text is all that there is, with what has scrolled away, without the empty end.
func (s *screen) text() string {
	var b strings.Builder
	for _, l := range s.lines {
		b.WriteString(strings.TrimRight(strings.Join(l, ""), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
