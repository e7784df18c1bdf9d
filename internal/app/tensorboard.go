package app

import "strings"

const tensorBoardPort = 6006

// refusedTensorBoard are the options of TensorBoard that the user must not set, and why.
var refusedTensorBoard = map[string]string{
	"host":     "cscs has the server listen on 127.0.0.1 of the node and forwards that",
	"bind_all": "cscs has the server listen on 127.0.0.1 of the node and forwards that",
	"port":     reasonPort,
	"logdir":   "use --logdir of cscs, before the --",
}

// TensorBoard returns the app of a TensorBoard that shows logdir, a path on the cluster. A relative
// path starts at the server's working directory, and TensorBoard itself expands a leading ~. args
// are the user's arguments for it.
//
// TensorBoard has no tokens: every user who can reach its port on the node can read what it shows.
// The error is a [*UsageError] if there is neither a logdir nor --logdir_spec in args, or if an
// argument would expose the server more or move it.
func TensorBoard(logdir string, args []string) (App, error) {
	const name = "tensorboard"
	prefix, spec := "", false
	for i := range args {
		option, value, ok := parseLongOption(args[i:])
		if !ok {
			continue
		}
		for r, why := range refusedTensorBoard {
			// TensorBoard accepts each unambiguous prefix of an option's name.
			if strings.HasPrefix(r, option) {
				return App{}, &UsageError{App: name, Arg: "--" + option, Message: why}
			}
		}
		switch option {
		case "logdir_spec":
			spec = true
		case "path_prefix":
			prefix = "/" + strings.Trim(value, "/")
		}
	}
	argv := []string{"tensorboard", "--host", "127.0.0.1", "--port", "{port}"}
	switch {
	case logdir != "":
		// One argument, so that a directory named -x is no option.
		argv = append(argv, "--logdir="+logdir)
	case !spec:
		return App{}, &UsageError{App: name, Message: "no log directory: set it with --logdir"}
	}
	path := strings.TrimRight(prefix, "/") + "/"
	a := App{
		Name:      name,
		LocalPort: tensorBoardPort,
		Argv:      append(argv, args...),
		Package:   "tensorboard",
		Program:   "tensorboard",
		Reads:     logdirPaths(logdir),
		Base:      strings.TrimRight(path, "/"),
		Path:      path,
		Open:      true,
		Probe:     probePath(name, path),
	}
	return a, a.Validate()
}

// logdirPaths returns the directory that TensorBoard waits for. It returns none for a list, or for
// a URL (s3://bucket/runs).
func logdirPaths(logdir string) []string {
	if logdir == "" || strings.ContainsAny(logdir, ",:") {
		return nil
	}
	return []string{logdir}
}
