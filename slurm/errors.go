package slurm

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// RefusedError tells that Slurm did not take the request.
type RefusedError struct {
	Message  string   // Slurm's own words
	Accounts []string // the user's, if the account may be what was wrong
	Unsure   bool     // Slurm could not be seen to have nothing of the request

	Request    Request
	Partitions []Partition // what there is, if the partition, the nodes or the memory may be what was wrong
}

func (e *RefusedError) Error() string { return "slurm refused the request: " + e.Message }

// NeverStartsError tells that Slurm took the request, but the job can never start.
type NeverStartsError struct {
	Job, Reason, Explained string
	Accounts               []string // the user's, if the account may be what is wrong

	Request    Request
	Partitions []Partition // as RefusedError has them
}

func (e *NeverStartsError) Error() string {
	return fmt.Sprintf("job %s can never start: %s (%s)", e.Job, e.Explained, e.Reason)
}

// QueueTimeoutError tells that the job did not start within the time that the
// user was ready to wait.
type QueueTimeoutError struct {
	Job    string
	Waited time.Duration
	Reason string // why it still waited, in plain words
}

func (e *QueueTimeoutError) Error() string {
	s := fmt.Sprintf("%s did not start within %s", nameJob(e.Job), e.Waited)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// JobEndedError tells that the allocation was taken away.
type JobEndedError struct {
	Job       string
	State     string
	Explained string
	Guest     bool // it is a job of the user's own, and not a session's
}

func (e *JobEndedError) Error() string { return nameJob(e.Job) + " " + e.Explained }

// nameJob names a job whose number may not be known.
func nameJob(number string) string {
	if number == "" {
		return "the job"
	}
	return "job " + number
}

// ServerError tells that the server did not start as it should, or ended by itself.
type ServerError struct {
	Node    string
	Reason  string // as Exited has it
	Message string
	Code    int // the server's exit status; -1: none
}

func (e *ServerError) Error() string { return e.Message }

// StepError tells that srun could not start the runner in the allocation.
type StepError struct {
	Job     string
	Message string // srun's own words
}

func (e *StepError) Error() string {
	return fmt.Sprintf("job %s was granted, but nothing could be started in it: %s", e.Job, e.Message)
}

// JobIsOver reports whether Slurm made no step because the job has ended (Slurm's slurm_errno.c,
// ESLURM_INVALID_JOB_ID and ESLURM_ALREADY_DONE; srun's "has expired").
func (e *StepError) JobIsOver() bool {
	return strings.Contains(e.Message, "has expired") || strings.Contains(e.Message, "nvalid job id") ||
		strings.Contains(e.Message, "already completing or completed")
}

// RemainsError tells that Slurm still had the job when we stopped looking.
type RemainsError struct {
	Name    string // the job's name
	Job     string // its number, if known
	Message string // what Slurm's commands said, if they failed
}

func (e *RemainsError) Error() string {
	s := "the job " + e.Name
	if e.Job != "" {
		s += " (" + e.Job + ")"
	}
	s += " may still be there"
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// LogError tells that the job is gone but its log could not be stored on the
// laptop, and where it still is.
type LogError struct {
	Path string // on the cluster
	Err  error
}

func (e *LogError) Error() string {
	return fmt.Sprintf("store the server's log (it is still in %s on the cluster): %v", e.Path, e.Err)
}
func (e *LogError) Unwrap() error { return e.Err }

// cleanMessage makes one line of what salloc, sbatch or srun printed: lines come separated by
// "|", each with the program's name before it. What salloc and sbatch both said is said once.
func cleanMessage(message string) string {
	var out []string
	for _, s := range strings.Split(message, "|") {
		s = strings.TrimSpace(s)
		// slurmstepd adds the name of its host or, from 26.05 on, has the time instead of its name.
		if before, rest, found := strings.Cut(s, "error: "); found && (strings.HasPrefix(before, "slurmstepd") || strings.HasPrefix(before, "[")) {
			s = rest
		}
		for _, p := range []string{"cscs: ", "salloc: ", "sbatch: ", "srun: ", "error: ", "fatal: "} {
			s = strings.TrimPrefix(s, p)
		}
		for _, p := range []string{"Job submit/allocate failed: ", "Unable to allocate resources: ", "Batch job submission failed: "} {
			s = strings.TrimPrefix(s, p)
		}
		if s == "" || slices.Contains(out, s) || strings.HasPrefix(s, "Try \"") || strings.HasPrefix(s, "Force Terminated job") {
			continue
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

// SilentError tells that Slurm's controller does not answer.
type SilentError struct {
	Message string
	Where   string // the login node
}

func (e *SilentError) Error() string { return "Slurm does not answer: " + e.Message }

// ShellHangs is the error of a login shell that has not begun with our command after so long; output is
// what came of it instead.
func ShellHangs(after time.Duration, output string) *RemoteError {
	return &RemoteError{Kind: "hang", Message: "the login shell has not begun with our command after " + after.Round(time.Second).String(), Output: output}
}

// LoginShellError tells of a login shell whose start-up files end it, or do not come to an end.
type LoginShellError struct {
	Host   string
	Status int           // it ended with that; -1: it has not ended
	After  time.Duration // so long
	Line   *StartupLine  // that ended it, if known
}

// startupLimit is what cscs_try_login_shell gives a login shell.
const startupLimit = 5 * time.Second

// loginShellError is what a line of cscs_try_login_shell reports; nil: the shell comes through.
func loginShellError(l line) *LoginShellError {
	if l.get("through") != "" {
		return nil
	}
	e := &LoginShellError{Host: l.get("host"), Status: int(l.getInt("code")), Line: startupLine(l)}
	if e.Status == 124 { // timeout(1)
		e.Status, e.After = -1, startupLimit
	}
	return e
}

func (e *LoginShellError) Error() string {
	s := fmt.Sprintf("the login shell on %s has not come through its start-up files after %s", e.Host, e.After)
	if e.Status >= 0 {
		s = fmt.Sprintf("the login shell on %s ended with status %d in its start-up files", e.Host, e.Status)
	}
	if e.Line != nil {
		s += ": " + e.Line.String()
	}
	return s
}
