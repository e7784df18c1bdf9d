package regular

import "io/fs"

// Write replaces a file as a whole, or not at all. A file that exists keeps its permissions. On
// Windows, the file is overwritten. The new content is written beside the file first: its
// directory, and no other, decides who can change it.
func Write(path string, data []byte, mode fs.FileMode) error {
	return WriteIf(path, data, mode, func() error { return nil })
}
