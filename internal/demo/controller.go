package demo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A controller does the work of slurmctld: it has the queue and the nodes. Jobs get whole nodes,
// first come, first served.
type controller struct {
	idle func() // called when the last job has ended

	mu    sync.Mutex
	next  int
	nodes []string
	jobs  []*job // by number; jobs that have ended remain for a while
}

// A job is a job in the queue. The controller's lock guards its fields.
type job struct {
	id      int
	name    string
	request request
	begin   time.Time // the earliest start

	state  string // PENDING, RUNNING, or how it ended
	reason string
	start  time.Time // the estimated start of a pending job
	began  time.Time
	ends   time.Time // by the time limit
	nodes  []string
	held   bool // what runs in it has not ended yet

	changed chan struct{} // closed and replaced whenever a field above changes
	run     func(*job)    // starts the runner; nil for another user's job
	stop    func(kill bool)
	timer   *time.Timer
}

func newController(nodes []string, idle func()) *controller {
	return &controller{idle: idle, next: 4270001, nodes: nodes}
}

func (j *job) idString() string { return strconv.Itoa(j.id) }

// isActive reports whether the job is pending or running.
func (j *job) isActive() bool { return j.state == "PENDING" || j.state == "RUNNING" }

func (j *job) notifyChange() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// submitJob queues a job, and starts it at once if enough nodes are free.
func (ctl *controller) submitJob(name string, r request, run func(*job)) *job {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	ctl.next++
	j := &job{id: ctl.next, name: name, request: r, begin: time.Now().Add(r.minDelay()), state: "PENDING", reason: "None",
		changed: make(chan struct{}), run: run}
	ctl.jobs = append(ctl.jobs, j)
	ctl.schedule()
	return j
}

// schedule gives free nodes to pending jobs. The caller holds the lock.
func (ctl *controller) schedule() {
	blocked := false
	for _, j := range ctl.jobs {
		if j.state != "PENDING" {
			continue
		}
		reason, estimate := j.request.pendingReason(), time.Time{}
		if wait := time.Until(j.begin); reason == "" && wait > 0 {
			reason, estimate = "BeginTime", j.begin
			if j.request.partition == BusyPartition {
				reason = "Resources"
			}
			ctl.setJobTimer(j, wait, ctl.schedule)
		}
		free := ctl.freeNodes(j.request)
		switch {
		case reason != "":
		case blocked:
			reason = "Priority"
		case free == nil:
			reason, blocked = "Resources", true
			estimate = ctl.nextEnd()
		default:
			ctl.grantNodes(j, free)
			continue
		}
		if reason != j.reason || !estimate.Equal(j.start) {
			j.reason, j.start = reason, estimate
			j.notifyChange()
		}
	}
}

// setJobTimer calls f after d, with the lock held, unless the job has ended by then. It replaces
// the job's previous timer.
func (ctl *controller) setJobTimer(j *job, d time.Duration, f func()) {
	if j.timer != nil {
		j.timer.Stop()
	}
	j.timer = time.AfterFunc(d, func() {
		ctl.mu.Lock()
		defer ctl.mu.Unlock()
		if j.isActive() {
			f()
		}
	})
}

// freeNodes returns nodes for a request, or nil if too few are free. The caller holds the lock.
func (ctl *controller) freeNodes(r request) []string {
	var free []string
	for _, n := range ctl.nodes {
		taken := slices.ContainsFunc(ctl.jobs, func(j *job) bool {
			return (j.state == "RUNNING" || j.held) && slices.Contains(j.nodes, n)
		})
		if !taken && (len(r.nodelist) == 0 || slices.Contains(r.nodelist, n)) && len(free) < r.nodes {
			free = append(free, n)
		}
	}
	if len(free) < r.nodes {
		return nil
	}
	return free
}

// nextEnd returns the earliest time limit of the running jobs.
func (ctl *controller) nextEnd() time.Time {
	var first time.Time
	for _, j := range ctl.jobs {
		if j.state == "RUNNING" && (first.IsZero() || j.ends.Before(first)) {
			first = j.ends
		}
	}
	return first
}

// grantNodes gives the nodes to a job. The caller holds the lock.
func (ctl *controller) grantNodes(j *job, nodes []string) {
	j.state, j.reason, j.nodes, j.start = "RUNNING", "None", nodes, time.Time{}
	j.began = time.Now()
	j.ends = j.began.Add(j.request.limit)
	ctl.setJobTimer(j, j.request.limit, func() { ctl.endLocked(j, "TIMEOUT", false) })
	j.held = j.run != nil
	j.notifyChange()
	if j.run != nil {
		j.run(j)
	}
}

// endJob ends a job unless it has ended already. If kill is set, what runs in it gets no grace.
func (ctl *controller) endJob(j *job, state string, kill bool) {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	ctl.endLocked(j, state, kill)
}

// endLocked is endJob for a caller that holds the lock.
func (ctl *controller) endLocked(j *job, state string, kill bool) {
	if !j.isActive() {
		if kill && j.held && j.stop != nil {
			j.stop(true)
		}
		return
	}
	j.state = state
	if j.timer != nil {
		j.timer.Stop()
	}
	j.notifyChange()
	if j.held && j.stop != nil {
		j.stop(kill)
	}
	ctl.handleJobEnd()
}

// releaseJob reports to the controller that nothing runs in the job any more.
func (ctl *controller) releaseJob(j *job, state string) {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	j.held = false
	if j.isActive() {
		ctl.endLocked(j, state, false)
		return
	}
	ctl.handleJobEnd()
}

// handleJobEnd starts pending jobs, forgets old ones, and calls idle after the last job. The
// caller holds the lock.
func (ctl *controller) handleJobEnd() {
	ctl.schedule()
	if n := len(ctl.jobs) - 100; n > 0 { // Slurm forgets jobs too (MinJobAge, slurm.conf(5))
		ctl.jobs = slices.DeleteFunc(ctl.jobs, func(j *job) bool { n--; return n >= 0 && !j.isActive() && !j.held })
	}
	if !slices.ContainsFunc(ctl.jobs, func(j *job) bool { return j.isActive() || j.held }) {
		go ctl.idle()
	}
}

// hasJobs reports whether a job is active or something still runs in one.
func (ctl *controller) hasJobs() bool {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	return slices.ContainsFunc(ctl.jobs, func(j *job) bool { return j.isActive() || j.held })
}

// endJobByID ends the job with that number, if there is one, in the given state.
func (ctl *controller) endJobByID(number, state string) {
	if j := ctl.findJob(number); j != nil {
		ctl.endJob(j, state, false)
	}
}

func (ctl *controller) cancelAll() {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	for _, j := range slices.Clone(ctl.jobs) {
		ctl.endLocked(j, "CANCELLED", true)
	}
}

func (ctl *controller) findJob(number string) *job {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	for _, j := range ctl.jobs {
		if j.idString() == number {
			return j
		}
	}
	return nil
}

// selectJobs returns the jobs for which fits returns true.
func (ctl *controller) selectJobs(fits func(*job) bool) []*job {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(ctl.jobs), func(j *job) bool { return !fits(j) })
}

// activeJobsNamed returns the active jobs of that name.
func (ctl *controller) activeJobsNamed(name string) []*job {
	return ctl.selectJobs(func(j *job) bool { return j.name == name && j.isActive() })
}

// jobOn returns the number of the user's job that runs or ends on the node, or "" if there is none.
func (ctl *controller) jobOn(node string) string {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	for _, j := range ctl.jobs {
		if (j.state == "RUNNING" || j.held) && j.run != nil && slices.Contains(j.nodes, node) {
			return j.idString()
		}
	}
	return ""
}

// occupyFreeNodes gives the free nodes to another user until release is called.
func (ctl *controller) occupyFreeNodes() (release func()) {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	var held []*job
	for _, n := range ctl.nodes {
		r := request{nodes: 1, nodelist: []string{n}, partition: "normal", limit: time.Hour}
		if ctl.freeNodes(r) == nil {
			continue
		}
		ctl.next++
		j := &job{id: ctl.next, name: "occupy", request: r, state: "PENDING", changed: make(chan struct{})}
		ctl.jobs = append(ctl.jobs, j)
		ctl.grantNodes(j, []string{n})
		held = append(held, j)
	}
	return func() {
		for _, j := range held {
			ctl.endJob(j, "COMPLETED", false)
		}
	}
}

// A jobSnapshot is the state of a job at one moment.
type jobSnapshot struct {
	state, reason   string
	start           time.Time
	info            string // scontrol --oneliner show job
	squeueLine      string // squeue's %i|%T|%r|%S|%e|%P|%a|%N
	squeueLineNamed string // the same with |%j
	nodes           string
	begins, ends    string
	changed         <-chan struct{}
}

// snapshotJob returns the job's state, with the lines that Slurm's commands would print.
func (ctl *controller) snapshotJob(j *job) jobSnapshot {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	nodes := strings.Join(j.nodes, ",")
	rest := strings.Join([]string{j.state, j.reason, stamp(j.start), stamp(j.ends), j.request.partition, "(null)", nodes}, "|")
	return jobSnapshot{
		state: j.state, reason: j.reason, start: j.start, changed: j.changed,
		info: fmt.Sprintf("JobId=%d JobName=%s JobState=%s Reason=%s Partition=%s Account=(null) StartTime=%s EndTime=%s NodeList=%s",
			j.id, j.name, j.state, j.reason, j.request.partition, stamp(j.began), stamp(j.ends), nodes),
		squeueLine:      j.idString() + "|" + rest,
		squeueLineNamed: j.idString() + "|" + rest + "|" + j.name,
		nodes:           nodes, begins: stamp(j.began), ends: stamp(j.ends),
	}
}

// stamp returns a time as Slurm prints it with SLURM_TIME_FORMAT=%s.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "N/A"
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// locationAnswer returns squeue's %T|%N|%u|%e|%S of a running job.
func (l jobSnapshot) locationAnswer(user string) string {
	return strings.Join([]string{l.state, l.nodes, user, l.ends, l.begins}, "|")
}

// queueAnswer returns squeue's %T|%r|%S.
func (l jobSnapshot) queueAnswer() string {
	return l.state + "|" + l.reason + "|" + stamp(l.start)
}

// snapshotUserJobs returns the user's active jobs.
func (ctl *controller) snapshotUserJobs() []jobSnapshot {
	var all []jobSnapshot
	for _, j := range ctl.selectJobs(func(j *job) bool { return j.isActive() && j.run != nil }) {
		all = append(all, ctl.snapshotJob(j))
	}
	return all
}

// stateOf returns the state of an active job, or "" if the job has ended or is unknown.
func (ctl *controller) stateOf(number string) string {
	j := ctl.findJob(number)
	if j == nil {
		return ""
	}
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	if !j.isActive() {
		return ""
	}
	return j.state
}

// formatQueue lists all active jobs.
func (ctl *controller) formatQueue() string {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	var lines []string
	for _, j := range ctl.jobs {
		if j.isActive() {
			lines = append(lines, fmt.Sprintf("%d %s %s %s", j.id, j.name, j.state, j.reason))
		}
	}
	return strings.Join(lines, "\n")
}
