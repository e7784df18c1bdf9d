package signing

import (
	"errors"
	"io/fs"
	"os"
)

// isOwn reports whether the file is a regular file. Files beside the user's key belong to the user.
func isOwn(info fs.FileInfo) bool { return info.Mode().IsRegular() }

// hasOneName returns false, since the number of names is unknown.
func hasOneName(fs.FileInfo) bool { return false }

// openForErase fails: without the number of names, no content can be erased safely.
func openForErase(string) (*os.File, error) { return nil, errors.ErrUnsupported }
