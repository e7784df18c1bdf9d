package signing

import (
	"errors"
	"io/fs"
	"os"
)

// isOwn reports whether it is a regular file. What is beside the user's key is the user's.
func isOwn(info fs.FileInfo) bool { return info.Mode().IsRegular() }

// hasOneName is false: the number of names is unknown.
func hasOneName(fs.FileInfo) bool { return false }

// openForErase fails: without the number of names, no content is erased.
func openForErase(string) (*os.File, error) { return nil, errors.ErrUnsupported }
