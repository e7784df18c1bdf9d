package slurm

import (
	"context"
	"io"
	"strconv"
	"time"
)

// Log copies the log of the session's server to w, as far as it is kept (the newest
// 64 MiB; last > 0: no more than so many lines of it), and with every > 0 also what is added to it, looking so often, until the
// session ends or ctx does.
//
// It returns *RemoteError, of the kind "gone" if the session's directory is not there,
// an error of w's, or that of the connection.
func Log(ctx context.Context, remote Remote, id string, last int, every time.Duration, w io.Writer) error {
	v := new(vars)
	v.setID(id)
	v.setValue("cscs_every", formatSeconds(every))
	if last > 0 {
		v.setValue("cscs_last", strconv.Itoa(last))
	}
	stdin, open := io.Pipe() // its end is ours
	defer stdin.Close()
	defer open.Close()
	complete := false
	c := call{verb: "log", vars: v, stdin: stdin,
		handle: func(l line) error {
			switch l.kind {
			case "gone":
				return &RemoteError{Kind: "gone", Message: "session " + id + " has left nothing on the cluster"}
			case "shown":
				complete = true
			}
			return nil
		},
		raw: func(r io.Reader) error {
			_, err := io.Copy(w, r)
			return err
		},
	}
	if err := c.run(ctx, remote); err != nil {
		return err
	}
	if !complete && ctx.Err() == nil {
		return ErrCut
	}
	return context.Cause(ctx)
}
