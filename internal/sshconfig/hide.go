package sshconfig

import (
	"bytes"
	"strings"
)

// A hiding makes configurations without the content of our file.
type hiding struct {
	files Files
	keep  func([]byte) (file string, err error) // gives a new file a name
	by    map[string]string                     // what each included file is replaced by, itself if by nothing
	err   error
}

// of is a configuration without our file: of a pattern that matches it, the other files are
// named. Another file that includes ours is replaced by what that is without it.
func (h *hiding) of(data []byte) []byte {
	return rewrite(data, func(w word) string {
		changed := h.files.names(w) != nothing
		var others []string
		for _, path := range h.files.matches(w) {
			if h.files.same(path) {
				continue
			}
			other := h.file(path)
			changed = changed || other != path
			others = append(others, quoted(other))
		}
		if !changed {
			return w.raw
		}
		return strings.Join(others, " ")
	})
}

// file is what stands for an included file.
func (h *hiding) file(path string) string {
	if by, ok := h.by[path]; ok {
		return by
	}
	h.by[path] = path // also while it is looked into: ssh refuses files that include themselves
	data, _, err := load(path)
	if err != nil {
		return path // ssh will tell
	}
	if rest := h.of(data); !bytes.Equal(rest, data) {
		if h.by[path], err = h.keep(rest); err != nil {
			h.err = err
		}
	}
	return h.by[path]
}
