package sshconfig

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// inclusions are the files that the lines of a configuration include, by the name of the configuration
// and the number of the line.
type inclusions map[string]map[int][]string

// inclusion is the message of OpenSSH's readconf.c for an included file. ssh writes it for a line in a
// section of other hosts too, whose content it then only parses.
var inclusion = regexp.MustCompile(`^debug3: (.+) line (\d+): Including file (.+) depth \d+( \(parse only\))?$`)

// findInclusions asks ssh which files a configuration includes, and which files these include. ssh alone
// knows what its version makes of patterns, quotes and tokens. Without ssh, the result is empty. If ssh
// refuses the configuration, the result is what ssh read before that.
//
// data are the lines of the file that matter. ssh is asked only if they may include something, because
// it may run commands of the user's (Match exec).
func findInclusions(ctx context.Context, file string, data []byte) inclusions {
	found := inclusions{}
	if !bytes.Contains(bytes.ToLower(data), []byte("include")) {
		return found
	}
	said, _ := readWithSSH(ctx, file, "-vvv")
	for message := range strings.Lines(said) {
		m := inclusion.FindStringSubmatch(strings.TrimRight(message, "\r\n"))
		if m == nil {
			continue
		}
		from, to := unescapeMessage(m[1]), unescapeMessage(m[3])
		line, _ := strconv.Atoi(m[2])
		if found[from] == nil {
			found[from] = map[int][]string{}
		}
		if !slices.Contains(found[from][line], to) { // ssh may read a file twice
			found[from][line] = append(found[from][line], to)
		}
	}
	return found
}

// escaped is a byte as ssh writes it in a message (vis(3), VIS_OCTAL): a backslash or not printable.
var escaped = regexp.MustCompile(`\\(\\|[0-7]{3})`)

func unescapeMessage(s string) string {
	return escaped.ReplaceAllStringFunc(s, func(e string) string {
		if c, err := strconv.ParseUint(e[1:], 8, 8); err == nil {
			return string([]byte{byte(c)})
		}
		return `\`
	})
}

// findOwnIncludes asks ssh which lines of the user's file include ours, apart from our block. effective
// reports whether the block or one of the lines does so before the first section.
func (f Files) findOwnIncludes(ctx context.Context, data []byte) (lines []string, effective bool) {
	start, end, _ := f.findBlock(data)
	first := firstSection(data)
	effective = start < first && bytes.Contains(data[start:end], []byte(f.includeLine()))
	found := findInclusions(ctx, f.Config, slices.Concat(data[:start], data[end:]))[f.Config]
	at, n := 0, 0
	for line := range bytes.Lines(data) {
		n++
		if (at < start || at >= end) && slices.ContainsFunc(found[n], f.isPart) {
			lines = append(lines, strings.TrimSpace(string(line)))
			effective = effective || at < first
		}
		at += len(line)
	}
	return lines, effective
}

// isPart reports whether a path leads to our file.
func (f Files) isPart(path string) bool { return regular.Same(path, f.Part) }
