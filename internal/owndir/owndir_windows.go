package owndir

import "os"

// Make makes the directory. What lies below the user's profile is the user's alone by
// inheritance.
func Make(dir string) error { return os.MkdirAll(dir, 0o700) }
