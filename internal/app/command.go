package app

import "slices"

// Command is any command that serves HTTP. It finds its port in {port} in its
// arguments or in $PORT, which the node sets. Port is the one to listen on,
// there and here if it is free; 0: any free one.
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
