package slurm

import (
	"context"
	"io"
	"strconv"
	"time"
)

// Log copies the log of the session's server to w, as far as it is kept (the newest 64 MiB). If
// last > 0, it copies at most that many lines. If every > 0, it reads the log again at that
// interval and copies what is new, until the session or ctx ends.
//
// Log returns *RemoteError, of kind "gone" if the session's directory does not exist, ErrCut, an
// error of w's, or the error of the connection.
func Log(ctx context.Context, remote Remote, id string, last int, every time.Duration, w io.Writer) error {
	v := new(vars)
	v.setID(id)
	v.setValue("cscs_every", formatSeconds(every))
	if last > 0 {
		v.setValue("cscs_last", strconv.Itoa(last))
	}
	stdin, open := io.Pipe() // stays open until Log returns
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
