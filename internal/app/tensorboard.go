package app

import (
	"context"
	"net/http"
	"strings"
)

const tensorBoardPort = 6006

// refusedTensorBoard are the options of TensorBoard's that are not the user's
// to set, and why.
var refusedTensorBoard = map[string]string{
	"host":     "cscs has the server listen on 127.0.0.1 of the node and forwards that",
	"bind_all": "cscs has the server listen on 127.0.0.1 of the node and forwards that",
	"port":     reasonPort,
	"logdir":   "use --logdir of cscs, before the --",
}

// TensorBoard is a TensorBoard that shows logdir, a path on the cluster: as
// the server sees it, from the directory that it is started in, with a leading
// ~ for the home directory there (TensorBoard knows that itself). The
// arguments are the user's own for it.
//
// TensorBoard knows no tokens: who can reach its port on the node can read
// what it shows. The error is a [*UsageError] if there is no logdir, unless the
// arguments have --logdir_spec, or if an argument would open the server wider
// or move it.
func TensorBoard(logdir string, args []string) (App, error) {
	const name = "tensorboard"
	prefix, spec := "", false
	for i := range args {
		option, value, ok := parseLongOption(args[i:])
		if !ok {
			continue
		}
		for r, why := range refusedTensorBoard {
			// TensorBoard takes an option's name for it as soon as it fits no
			// other.
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
		return App{}, &UsageError{App: name, Message: "no log directory: give it by --logdir"}
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
		Probe: func(ctx context.Context, c *http.Client, base string) error {
			return probeOK(ctx, c, name, strings.TrimRight(base, "/")+path)
		},
	}
	return a, a.Validate()
}

// logdirPaths is the directory that TensorBoard waits for, if logdir is one: it may also be
// a list, or an address elsewhere (s3://bucket/runs).
func logdirPaths(logdir string) []string {
	if logdir == "" || strings.ContainsAny(logdir, ",:") {
		return nil
	}
	return []string{logdir}
}
