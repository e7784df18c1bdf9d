package slurm

import (
	"context"
	"io"
	"strconv"
	"time"
)

// Stopping is how a session's job is to be ended.
type Stopping struct {
	ID    string
	Job   string        // its number, if known; else the session's directory tells
	Step  string        // the runner's, "123.0", so that the server is asked first, or AnyStep; "": the job is cancelled at once
	Grace time.Duration // for the server, between being asked and being killed; 0: none
	Kill  bool          // no SIGTERM either
	Log   io.Writer     // takes the server's log, at most 64 MiB; nil: it is thrown away
}

// AnyStep stands for the runner's step where it is not known: its own events tell.
const AnyStep = "any"

// Stop ends the job of the session, by its name and number, and sees that it is gone (has
// left the queue, or is COMPLETING); then takes the server's log and removes the
// session's directory from the cluster. Calling it for a session that has ended,
// or never began, does no harm.
//
// It returns what the runner said at its end, if it did; *RemainsError if Slurm
// still has the job, *RemoteError, ErrCut, *LogError if only the log was not brought home,
// or the error of the connection.
func Stop(ctx context.Context, remote Remote, s Stopping) (*Exited, error) {
	v := new(vars)
	v.setID(s.ID)
	v.setValue("cscs_job", s.Job)
	v.setValue("cscs_step", s.Step)
	v.setValue("cscs_grace", formatSeconds(s.Grace))
	v.setValue("cscs_kill", map[bool]string{true: "1"}[s.Kill])

	stdin, feed := io.Pipe()
	defer feed.Close()
	stored := make(chan bool, 1)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if <-stored {
			_, _ = io.WriteString(feed, "ok\n")
		}
		feed.Close()
	}()
	defer func() { stdin.Close(); <-answered }()
	defer func() {
		select {
		case stored <- false:
		default:
		}
	}()

	var exited *Exited
	var remains *RemainsError
	var logErr error
	stopped, dir := false, ""
	c := call{verb: "stop", vars: v, stdin: stdin,
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
			// A log that could not be stored here is left on the cluster, alone.
			stored <- logErr == nil
			_, _ = io.Copy(io.Discard, r)
			return nil
		},
	}
	err := c.run(ctx, remote)
	if logErr == nil && stopped {
		logErr = err // the connection ended after the job did
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

func formatInt(n int) string { return strconv.Itoa(n) }

// signalName names the signals by which servers die; others by their number.
func signalName(n int) string {
	names := map[int]string{1: "SIGHUP", 2: "SIGINT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
		9: "SIGKILL (out of memory?)", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ"}
	if s, ok := names[n]; ok {
		return s
	}
	return "signal " + formatInt(n)
}
