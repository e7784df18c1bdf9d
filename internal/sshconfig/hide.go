package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"

	"github.com/alps-tunnel/cscs/internal/owndir"
)

// Without returns a file for ssh -F: the user's configuration without our file, or "none" if there is
// none. done removes temporary files.
//
// Errors: *BlockError, *ReadError; those of writing temporary files.
func (f Files) Without(ctx context.Context) (file string, done func(), err error) {
	data, existed, err := loadFile(f.Config)
	if err != nil {
		return "", nil, err
	}
	if !existed {
		return "none", func() {}, nil
	}
	rest, err := f.removeBlock(data)
	if err != nil {
		return "", nil, err
	}
	h := partHider{files: f, replacements: map[string]string{}}
	file = f.Config
	if !bytes.Equal(rest, data) {
		file = h.writeCopy(rest)
	}
	if h.err == nil {
		h.found = findInclusions(ctx, file, rest)
		file = h.substituteFile(file)
	}
	if h.err != nil {
		h.removeCopies()
		return "", nil, h.err
	}
	return file, h.removeCopies, nil
}

// A partHider copies configurations without the content of our file.
type partHider struct {
	files        Files
	found        inclusions
	replacements map[string]string // configuration to its copy, or to itself
	copies       []string
	err          error // the first error of writing a copy
}

// substituteFile returns a copy of a configuration that does not include our file. It returns the
// configuration itself if that does not include our file.
func (h *partHider) substituteFile(name string) string {
	if by, ok := h.replacements[name]; ok {
		return by
	}
	h.replacements[name] = name // also during the recursion: ssh refuses files that include themselves
	data, _, err := loadFile(name)
	if err != nil {
		return name // ssh reports the error
	}
	var rest []byte
	n := 0
	for line := range bytes.Lines(data) {
		n++
		rest = append(rest, h.replaceLine(line, h.found[name][n])...)
	}
	if !bytes.Equal(rest, data) {
		h.replacements[name] = h.writeCopy(rest)
	}
	return h.replacements[name]
}

// replaceLine returns a line that includes these files, except ours, and copies of those that include
// ours. It returns the line itself if nothing is to be replaced.
func (h *partHider) replaceLine(line []byte, paths []string) string {
	changed := false
	var others []string
	for _, path := range paths {
		if h.files.isPart(path) {
			changed = true
			continue
		}
		other := h.substituteFile(path)
		changed = changed || other != path
		others = append(others, quotePath(other))
	}
	switch {
	case !changed:
		return string(line)
	case len(others) == 0:
		return "\n"
	}
	return "Include " + strings.Join(others, " ") + "\n"
}

// writeCopy writes a copy of a configuration and returns its name, "" after an error.
func (h *partHider) writeCopy(data []byte) string {
	name, err := writeTempFile(data)
	if err != nil {
		h.err = errors.Join(h.err, err)
		return ""
	}
	h.copies = append(h.copies, name)
	return name
}

func (h *partHider) removeCopies() {
	for _, name := range h.copies {
		_ = os.Remove(name)
	}
}

// writeTempFile writes data to a new temporary file that only the user can read.
func writeTempFile(data []byte) (file string, err error) {
	if err := owndir.CheckParent(os.TempDir()); err != nil {
		return "", err // others could replace the file, which may contain commands
	}
	tmp, err := os.CreateTemp("", "cscs-ssh-config-")
	if err != nil {
		return "", err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err != nil {
		_ = os.Remove(tmp.Name())
		return "", err
	}
	return tmp.Name(), nil
}
