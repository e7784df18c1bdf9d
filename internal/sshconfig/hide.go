package sshconfig

import (
	"bytes"
	"strings"
)

// A partHider copies configurations without the content of our file.
type partHider struct {
	files        Files
	keep         func([]byte) (file string, err error) // writes a new file
	replacements map[string]string                     // included file to its replacement, or to itself
	err          error
}

// hidePart returns a configuration without our file. It replaces a pattern that matches our file by the
// names of the other files that match. It replaces a file that includes ours by a copy without it.
func (h *partHider) hidePart(data []byte) []byte {
	return rewriteIncludes(data, func(w word) string {
		changed := h.files.matchWord(w) != noMatch
		var others []string
		for _, path := range h.files.includedFiles(w) {
			if h.files.isPartPath(path) {
				continue
			}
			other := h.substituteFile(path)
			changed = changed || other != path
			others = append(others, quotePath(other))
		}
		if !changed {
			return w.raw
		}
		return strings.Join(others, " ")
	})
}

// substituteFile returns the replacement of an included file.
func (h *partHider) substituteFile(path string) string {
	if by, ok := h.replacements[path]; ok {
		return by
	}
	h.replacements[path] = path // also during the recursion: ssh refuses files that include themselves
	data, _, err := loadFile(path)
	if err != nil {
		return path // ssh reports the error
	}
	if rest := h.hidePart(data); !bytes.Equal(rest, data) {
		if h.replacements[path], err = h.keep(rest); err != nil {
			h.err = err
		}
	}
	return h.replacements[path]
}
