package regular

import (
	"fmt"
	"io/fs"
)

// Write replaces a file of cscs's as a whole, or not at all. A file that exists keeps its
// permissions. On Windows, the file is overwritten. The new content is written beside the file first:
// its directory, and no other, decides who can change it.
func Write(path string, data []byte, mode fs.FileMode) error {
	return replaceFile(path, data, mode, false, func() error { return nil })
}

// Replace writes a file of the user's as Write does, if agree returns nil directly before the new
// content takes the place of the old. The file keeps its owner and group, and on Linux its access
// control list and extended attributes. A file that cannot keep them is left as it is.
//
// Errors: agree's; *NamesError; those of the file system.
func Replace(path string, data []byte, mode fs.FileMode, agree func() error) error {
	if err := CheckNames(path); err != nil {
		return err
	}
	return replaceFile(path, data, mode, true, agree)
}

// A NamesError tells that a file has more than one name (hard links). To replace it under one would
// leave the old content under the others.
type NamesError struct{ Names uint64 }

func (e *NamesError) Error() string {
	return fmt.Sprintf("the file has %d names (hard links), and cscs would replace it under one", e.Names)
}
