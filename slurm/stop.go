package slurm

import (
	"context"
	"io"
	"strconv"
	"time"
)

// Stopping describes how Stop ends a session's job.
type Stopping struct {
	ID    string
	Job   string        // its number; "": unknown, the session's directory can record it
	Step  string        // the runner's, "123.0", or AnyStep, to ask the server first; "": cancel the job at once
	Grace time.Duration // the server's time between SIGTERM and SIGKILL; 0: none
	Kill  bool          // send SIGKILL at once, without SIGTERM
	Log   io.Writer     // gets the server's log, at most 64 MiB; nil: the log is discarded
}

// AnyStep stands for an unknown step of the runner's; the runner's events name it.
const AnyStep = "any"

// Stop ends the job of the session, by its name and number, and confirms that it has left the queue
// or is COMPLETING. Then it copies the server's log and removes the session's directory from the
// cluster. Stop may be called for a session that has ended or never began.
//
// Stop returns the runner's last report, if there is one. It returns *RemainsError if Slurm still
// has the job, *LogError if only the log was not stored, *RemoteError, ErrCut, or the error of the
// connection.
func Stop(ctx context.Context, remote Remote, s Stopping) (*Exited, error) {
	v := new(vars)
	v.setID(s.ID)
	v.setValue("cscs_job", s.Job)
	v.setValue("cscs_step", s.Step)
	v.setValue("cscs_grace", formatSeconds(s.Grace))
	v.setFlag("cscs_kill", s.Kill)

	stored := make(chan bool, 1)
	var exited *Exited
	var remains *RemainsError
	var logErr error
	stopped, dir := false, ""
	c := call{verb: "stop", vars: v,
		handle: func(l line) error {
			switch l.kind {
			case "hello":
				dir = l.get("dir")
			case "exited":
				x := parseExited(l)
				exited = &x
			case "stopped":
				stopped = true
			case "remains":
				remains = &RemainsError{Name: JobName(s.ID), Job: l.get("job"), Message: cleanMessage(l.get("message"))}
			}
			return nil
		},
		raw: func(r io.Reader) error {
			w := s.Log
			if w == nil {
				w = io.Discard
			}
			_, logErr = io.Copy(w, r)
			// A log that the client could not store stays on the cluster, alone.
			stored <- logErr == nil
			_, _ = io.Copy(io.Discard, r)
			return nil
		},
	}
	err := c.runWithInput(ctx, remote, func(ctx context.Context, w io.Writer) {
		select {
		case ok := <-stored:
			if ok {
				_, _ = io.WriteString(w, "ok\n")
			}
		case <-ctx.Done():
		}
	})
	if logErr == nil && stopped {
		logErr = err // the connection broke after the job had ended
	}
	switch {
	case err != nil && !stopped:
		return exited, err
	case remains != nil:
		return exited, remains
	case !stopped:
		return exited, ErrCut
	case logErr != nil:
		return exited, &LogError{Path: dir + "/log", Err: logErr}
	}
	return exited, nil
}

// signalName returns the name of a signal that commonly ends servers, and the number of any other.
func signalName(n int) string {
	names := map[int]string{1: "SIGHUP", 2: "SIGINT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
		9: "SIGKILL (out of memory?)", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ"}
	if s, ok := names[n]; ok {
		return s
	}
	return "signal " + strconv.Itoa(n)
}
