package regular

import (
	"fmt"
	"io/fs"
)

// Write replaces a file of cscs's as a whole, or not at all. An existing file keeps its permissions.
// Write creates the new file beside the old one, so that only the permissions of that directory decide
// who can change it. On Windows it overwrites the file.
func Write(path string, data []byte, mode fs.FileMode) error {
	return replaceFile(path, data, mode, false, func() error { return nil })
}

// Replace writes a file of the user's like Write, if agree returns nil directly before the rename. The
// file keeps its owner and group, and on Linux its access control list and extended attributes. If that
// is not possible, the file is not changed.
//
// Errors: agree's; *NamesError; those of the file system.
func Replace(path string, data []byte, mode fs.FileMode, agree func() error) error {
	if err := CheckNames(path); err != nil {
		return err
	}
	return replaceFile(path, data, mode, true, agree)
}

// A NamesError reports a file with several names (hard links). If one name were replaced, the others
// would keep the old content.
type NamesError struct{ Names uint64 }

func (e *NamesError) Error() string {
	return fmt.Sprintf("the file has %d names (hard links), and cscs would replace it under one", e.Names)
}
