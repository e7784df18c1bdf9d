package sshconfig

import (
	"bytes"
	"strings"
)

// A partHider makes configurations without the content of our file.
type partHider struct {
	files        Files
	keep         func([]byte) (file string, err error) // gives a new file a name
	replacements map[string]string                     // what each included file is replaced by, itself if by nothing
	err          error
}

// hidePart is a configuration without our file: of a pattern that matches it, the other files are
// named. Another file that includes ours is replaced by what that is without it.
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

// substituteFile is what stands for an included file.
func (h *partHider) substituteFile(path string) string {
	if by, ok := h.replacements[path]; ok {
		return by
	}
	h.replacements[path] = path // also while it is looked into: ssh refuses files that include themselves
	data, _, err := loadFile(path)
	if err != nil {
		return path // ssh will tell
	}
	if rest := h.hidePart(data); !bytes.Equal(rest, data) {
		if h.replacements[path], err = h.keep(rest); err != nil {
			h.err = err
		}
	}
	return h.replacements[path]
}
