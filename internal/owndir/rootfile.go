package owndir

import "fmt"

// A RootFileError reports why others than the administrator can change a file.
type RootFileError struct {
	Path   string // the file, a directory above it, or a link that leads there
	Reason string // "belongs to mallory (uid 1001)"
}

func (e *RootFileError) Error() string { return fmt.Sprintf("%s %s", e.Path, e.Reason) }
