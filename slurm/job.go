package slurm

import (
	"strconv"
	"strings"
	"time"
)

// stateForgotten is cscs's own state for a job that Slurm has forgotten (MinJobAge).
const stateForgotten = "FORGOTTEN"

// JobInfo is what scontrol reports of a job.
type JobInfo struct {
	ID        string
	State     string // RUNNING, TIMEOUT, NODE_FAIL, … (squeue(1), JOB STATE CODES)
	Reason    string
	Partition string
	Account   string
	Nodes     []string
	Begins    time.Time // start time; zero: unknown
	Ends      time.Time // end by the time limit; zero: unknown or never
	Exit      string    // status and signal, "0:53"
	Shared    bool      // jobs of other users may run on its nodes
}

// parseJobInfo parses a line of "scontrol --oneliner show job". Only a few fields that are not
// needed here have spaces in their values, so the first word that begins with a key is the field.
func parseJobInfo(s string) JobInfo {
	get := func(key string) string {
		_, after, ok := strings.Cut(" "+s, " "+key+"=")
		if !ok {
			return ""
		}
		v, _, _ := strings.Cut(after, " ")
		return emptyIfUnset(v)
	}
	j := JobInfo{
		ID:        jobOf(get("JobId")),
		State:     get("JobState"),
		Reason:    get("Reason"),
		Partition: get("Partition"),
		Account:   get("Account"),
		Exit:      get("ExitCode"),
		Begins:    unixTime(get("StartTime")),
		Ends:      unixTime(get("EndTime")),
	}
	// "NO" means a node for one job, "USER" for jobs of one user (scontrol(1), OverSubscribe).
	switch get("OverSubscribe") {
	case "", "NO", "USER":
	default:
		j.Shared = true
	}
	if j.State == "" && strings.Contains(s, "Invalid job id") {
		j.State = stateForgotten
	}
	j.Nodes, _ = Hostlist(get("NodeList"))
	return j
}

// unixTime parses seconds since 1970, as Slurm prints times with SLURM_TIME_FORMAT=%s. It returns
// the zero time for other text.
func unixTime(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// parseQueue parses squeue's %T|%r|%S.
func parseQueue(job, answer string) Event {
	f := strings.SplitN(answer, "|", 3)
	if len(f) != 3 {
		return nil
	}
	return Queued{Job: job, State: f[0], Reason: f[1], Explained: ExplainReason(f[1], job), Start: unixTime(f[2])}
}

// isOver reports whether the job is in a final state.
func (j JobInfo) isOver() bool { return j.State != "" && j.State != "PENDING" && !j.Runs() }

// Runs reports whether the job has its nodes, running or stopped (scontrol(1), JOB STATE CODES).
func (j JobInfo) Runs() bool {
	switch j.State {
	case "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING":
		return true
	}
	return false
}

// Ended returns an error for a user's own job that no longer runs; nil if it ended by itself.
func (j JobInfo) Ended() error {
	e := &JobEndedError{Job: j.ID, State: j.State, Explained: j.explainState(), Guest: true}
	switch j.State {
	case "COMPLETED":
		return nil
	case "CANCELLED":
		e.Explained = "was cancelled"
	}
	return e
}

// explainState returns in plain words how a job ended.
func (j JobInfo) explainState() string {
	switch j.State {
	case "", stateForgotten:
		return "has ended; Slurm does not report how"
	case "TIMEOUT":
		return "reached its time limit"
	case "CANCELLED":
		return "was cancelled with scancel, not by this session"
	case "PENDING", "REQUEUED":
		return "was put back into the queue by Slurm (requeued), and its server is gone"
	case "NODE_FAIL":
		return "ended because " + j.itsNode() + " failed"
	case "PREEMPTED":
		return "was preempted by a job of higher priority"
	case "OUT_OF_MEMORY":
		return "ran out of memory"
	case "DEADLINE":
		return "could not end before its deadline"
	case "BOOT_FAIL":
		return "ended because " + j.itsNode() + " did not boot"
	case "FAILED":
		return "failed"
	case "COMPLETED":
		return "ended"
	}
	return "ended (" + j.State + ")"
}

// unopened is the exit code of a job whose output slurmstepd could not open. Slurm's
// slurmstepd_job.c sets the signal to 53 for any failure before the job's script begins.
const unopened = "0:53"

// itsNode returns words for the node that failed, as far as Slurm reports it.
func (j JobInfo) itsNode() string {
	switch len(j.Nodes) {
	case 0:
		return "its node"
	case 1:
		return "its node " + j.Nodes[0]
	}
	return "one of its nodes (" + strings.Join(j.Nodes, ", ") + ")"
}
