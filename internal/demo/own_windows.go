package demo

// removeHeld: a file that is open cannot be removed.
const removeHeld = false

// checkOwn: the user's directory for local data is the user's alone by its own list of access rights.
func checkOwn(string) error { return nil }
