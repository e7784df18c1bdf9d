package slurm

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// RefusedError reports that Slurm did not take the request.
type RefusedError struct {
	Message  string   // Slurm's own words
	Accounts []string // the user's accounts, if the account may be the cause
	Unsure   bool     // Slurm did not confirm that it has nothing of the request

	Request    Request
	Partitions []Partition // the cluster's, if the partition, the nodes or the memory may be the cause
}

func (e *RefusedError) Error() string { return "slurm refused the request: " + e.Message }

// NeverStartsError reports that Slurm took the request, but the job can never start.
type NeverStartsError struct {
	Job, Reason, Explained string
	Accounts               []string // as in RefusedError

	Request    Request
	Partitions []Partition // as in RefusedError
}

func (e *NeverStartsError) Error() string {
	return fmt.Sprintf("job %s can never start: %s (%s)", e.Job, e.Explained, e.Reason)
}

// QueueTimeoutError reports that the job did not start within the time limit for the queue.
type QueueTimeoutError struct {
	Job    string
	Waited time.Duration
	Reason string // why it was still pending, in plain words
}

func (e *QueueTimeoutError) Error() string {
	s := fmt.Sprintf("%s did not start within %s", nameJob(e.Job), e.Waited)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// JobEndedError reports that the allocation ended or was taken away.
type JobEndedError struct {
	Job       string
	State     string
	Explained string
	Guest     bool // the job is the user's own, not a session's
}

func (e *JobEndedError) Error() string { return nameJob(e.Job) + " " + e.Explained }

// nameJob returns a name for the job; its number may be unknown ("").
func nameJob(number string) string {
	if number == "" {
		return "the job"
	}
	return "job " + number
}

// ServerError reports that the server did not start as expected, or ended by itself.
type ServerError struct {
	Node    string
	Reason  string // as in Exited
	Message string
	Code    int // the server's exit status; -1: none
}

func (e *ServerError) Error() string { return e.Message }

// StepError reports that srun could not start the runner in the allocation.
type StepError struct {
	Job        string
	Message    string // srun's own words
	OutOfReach bool   // the login node and the node do not reach each other
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

// RemainsError reports that Slurm still had the job when Stop gave up.
type RemainsError struct {
	Name    string // the job's name
	Job     string // its number, if known
	Message string // the output of Slurm's commands, if they failed
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

// LogError reports that the job is gone but that its log, still on the cluster, was not stored.
type LogError struct {
	Path string // on the cluster
	Err  error
}

func (e *LogError) Error() string {
	return fmt.Sprintf("store the server's log (it is still in %s on the cluster): %v", e.Path, e.Err)
}
func (e *LogError) Unwrap() error { return e.Err }

// cleanMessage makes one line of the output of salloc, sbatch or srun. In message, lines are
// separated by "|", and each begins with the program's name. A line that salloc and sbatch both
// printed appears once.
func cleanMessage(message string) string {
	var out []string
	for _, s := range strings.Split(message, "|") {
		s = strings.TrimSpace(s)
		// slurmstepd adds the name of its host. From 26.05 on, it prints the time and no name.
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

// SilentError reports that Slurm's controller does not answer.
type SilentError struct {
	Message string
	Where   string // the login node
}

func (e *SilentError) Error() string { return "Slurm does not answer: " + e.Message }

// ShellHangs returns the error of a login shell that has not run our command after this time;
// output is what it printed instead.
func ShellHangs(after time.Duration, output string) *RemoteError {
	return &RemoteError{Kind: "hang", Message: "the login shell has not started our command after " + after.Round(time.Second).String(), Output: output}
}

// LoginShellError reports a login shell whose start-up files end it or do not finish.
type LoginShellError struct {
	Host   string
	Status int           // exit status; -1: it has not ended
	After  time.Duration // how long it has run; set if it has not ended
	Line   *StartupLine  // the line that ended it; nil: unknown
}

// startupLimit is the time that cscs_try_login_shell gives a login shell.
const startupLimit = 5 * time.Second

// loginShellError returns the error that a line of cscs_try_login_shell reports; nil if the shell
// finishes its start-up files.
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
	s := fmt.Sprintf("the login shell on %s was still in its start-up files after %s", e.Host, e.After)
	if e.Status >= 0 {
		s = fmt.Sprintf("the login shell on %s ended with status %d in its start-up files", e.Host, e.Status)
	}
	if e.Line != nil {
		s += ": " + e.Line.String()
	}
	return s
}
