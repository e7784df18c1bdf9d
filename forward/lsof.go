package forward

import (
	"strconv"
	"strings"
)

// parseLsof describes the first process in the output of `lsof -Fpc`. Each line is one field and
// begins with its letter.
func parseLsof(out string) string {
	pid, name := 0, ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		switch line[0] {
		case 'p':
			if pid != 0 {
				return describeProcess(name, pid, "")
			}
			pid, _ = strconv.Atoi(line[1:])
		case 'c':
			name = line[1:]
		}
	}
	if pid == 0 {
		return ""
	}
	return describeProcess(name, pid, "")
}
