package app

import "slices"

// Command returns the app of any command that serves HTTP. The command gets its port by {port} in
// its arguments, or by $PORT, which the node sets. It should listen on port, and the local port is
// the same if that is free; 0: any free port.
//
// The error is a [*UsageError] if argv is empty.
func Command(argv []string, port int) (App, error) {
	if len(argv) == 0 || argv[0] == "" {
		return App{}, &UsageError{App: "run", Message: "no command to run: give it after --"}
	}
	a := App{
		Name:      "run",
		LocalPort: port,
		Port:      port,
		Argv:      slices.Clone(argv),
		Path:      "/",
		Open:      isOpen(argv),
	}
	return a, a.Validate()
}
