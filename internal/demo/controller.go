package demo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A controller is what slurmctld is to a cluster: it has the queue and the nodes. Jobs
// get whole nodes, first come, first served.
type controller struct {
	idle func() // called when the last job has gone

	mu    sync.Mutex
	next  int
	nodes []string
	jobs  []*job // in the order of their numbers; those that are over are left for a while
}

// A job is one of the queue's. Its fields are guarded by the controller's lock.
type job struct {
	id      int
	name    string
	request request
	begin   time.Time // not before

	state  string // PENDING, RUNNING, or how it ended
	reason string
	start  time.Time // of one that waits: the estimate
	began  time.Time
	ends   time.Time // by the time limit
	nodes  []string
	held   bool // what ran in it has not ended yet

	changed chan struct{} // closed and renewed whenever the above changes
	run     func(*job)    // starts what runs in it; nil: nothing does
	stop    func(kill bool)
	timer   *time.Timer
}

func newController(nodes []string, idle func()) *controller {
	return &controller{idle: idle, next: 4270001, nodes: nodes}
}

func (j *job) number() string { return strconv.Itoa(j.id) }

// active reports whether it holds something, or waits to.
func (j *job) active() bool { return j.state == "PENDING" || j.state == "RUNNING" }

func (j *job) touch() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// submit takes a request, and grants it now if there is room.
func (ctl *controller) submit(name string, r request, run func(*job)) *job {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	ctl.next++
	j := &job{id: ctl.next, name: name, request: r, begin: time.Now().Add(r.delay()), state: "PENDING", reason: "None",
		changed: make(chan struct{}), run: run}
	ctl.jobs = append(ctl.jobs, j)
	ctl.schedule()
	return j
}

// schedule gives free nodes to those that wait. The lock is held.
func (ctl *controller) schedule() {
	blocked := false
	for _, j := range ctl.jobs {
		if j.state != "PENDING" {
			continue
		}
		reason, estimate := j.request.obstacle(), time.Time{}
		if wait := time.Until(j.begin); reason == "" && wait > 0 {
			reason, estimate = "BeginTime", j.begin
			if j.request.partition == BusyPartition {
				reason = "Resources"
			}
			ctl.after(j, wait, ctl.schedule)
		}
		free := ctl.free(j.request)
		switch {
		case reason != "":
		case blocked:
			reason = "Priority"
		case free == nil:
			reason, blocked = "Resources", true
			estimate = ctl.nextEnd()
		default:
			ctl.grant(j, free)
			continue
		}
		if reason != j.reason || !estimate.Equal(j.start) {
			j.reason, j.start = reason, estimate
			j.touch()
		}
	}
}

// after calls f, with the lock held, unless the job is over by then.
func (ctl *controller) after(j *job, d time.Duration, f func()) {
	if j.timer != nil {
		j.timer.Stop()
	}
	j.timer = time.AfterFunc(d, func() {
		ctl.mu.Lock()
		defer ctl.mu.Unlock()
		if j.active() {
			f()
		}
	})
}

// free are the nodes for a request; nil: there are not enough. The lock is held.
func (ctl *controller) free(r request) []string {
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

// nextEnd is when the next job that runs reaches its limit.
func (ctl *controller) nextEnd() time.Time {
	var first time.Time
	for _, j := range ctl.jobs {
		if j.state == "RUNNING" && (first.IsZero() || j.ends.Before(first)) {
			first = j.ends
		}
	}
	return first
}

// grant gives the nodes to a job. The lock is held.
func (ctl *controller) grant(j *job, nodes []string) {
	j.state, j.reason, j.nodes, j.start = "RUNNING", "None", nodes, time.Time{}
	j.began = time.Now()
	j.ends = j.began.Add(j.request.limit)
	ctl.after(j, j.request.limit, func() { ctl.endLocked(j, "TIMEOUT", false) })
	j.held = j.run != nil
	j.touch()
	if j.run != nil {
		j.run(j)
	}
}

// end ends a job, if it is not over yet.
func (ctl *controller) end(j *job, state string, kill bool) {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	ctl.endLocked(j, state, kill)
}

func (ctl *controller) endLocked(j *job, state string, kill bool) {
	if !j.active() {
		if kill && j.held && j.stop != nil {
			j.stop(true)
		}
		return
	}
	j.state = state
	if j.timer != nil {
		j.timer.Stop()
	}
	j.touch()
	if j.held && j.stop != nil {
		j.stop(kill)
	}
	ctl.settle()
}

// released tells that nothing runs in the job any more.
func (ctl *controller) released(j *job, state string) {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	j.held = false
	if j.active() {
		ctl.endLocked(j, state, false)
		return
	}
	ctl.settle()
}

// settle is what follows from the end of a job. The lock is held.
func (ctl *controller) settle() {
	ctl.schedule()
	if n := len(ctl.jobs) - 100; n > 0 { // Slurm, too, forgets (MinJobAge)
		ctl.jobs = slices.DeleteFunc(ctl.jobs, func(j *job) bool { n--; return n >= 0 && !j.active() && !j.held })
	}
	if !slices.ContainsFunc(ctl.jobs, func(j *job) bool { return j.active() || j.held }) {
		go ctl.idle()
	}
}

// busy reports whether there is a job.
func (ctl *controller) busy() bool {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	return slices.ContainsFunc(ctl.jobs, func(j *job) bool { return j.active() || j.held })
}

// cancel is scancel of a number, or whatever else ends the job in that state.
func (ctl *controller) cancel(number, state string) {
	if j := ctl.find(number); j != nil {
		ctl.end(j, state, false)
	}
}

func (ctl *controller) cancelAll() {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	for _, j := range slices.Clone(ctl.jobs) {
		ctl.endLocked(j, "CANCELLED", true)
	}
}

func (ctl *controller) find(number string) *job {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	for _, j := range ctl.jobs {
		if j.number() == number {
			return j
		}
	}
	return nil
}

// named are the active jobs of that name.
func (ctl *controller) named(name string) []*job {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	var found []*job
	for _, j := range ctl.jobs {
		if j.name == name && j.active() {
			found = append(found, j)
		}
	}
	return found
}

// jobOn is the job of the user's that runs on the node; "" if there is none.
func (ctl *controller) jobOn(node string) string {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	for _, j := range ctl.jobs {
		if (j.state == "RUNNING" || j.held) && j.run != nil && slices.Contains(j.nodes, node) {
			return j.number()
		}
	}
	return ""
}

// occupy gives the nodes that are free to somebody else.
func (ctl *controller) occupy() (release func()) {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	var held []*job
	for _, n := range ctl.nodes {
		r := request{nodes: 1, nodelist: []string{n}, partition: "normal", limit: time.Hour}
		if ctl.free(r) == nil {
			continue
		}
		ctl.next++
		j := &job{id: ctl.next, name: "occupy", request: r, state: "PENDING", changed: make(chan struct{})}
		ctl.jobs = append(ctl.jobs, j)
		ctl.grant(j, []string{n})
		held = append(held, j)
	}
	return func() {
		for _, j := range held {
			ctl.end(j, "COMPLETED", false)
		}
	}
}

// A look is a job as it is at one moment.
type look struct {
	state, reason string
	start         time.Time
	info          string // scontrol --oneliner show job
	listed        string // squeue's %i|%T|%r|%S|%e|%P|%a|%N
	queue         string // the same with |%j
	nodes         string
	begins, ends  string
	changed       <-chan struct{}
}

func (ctl *controller) look(j *job) look {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return "N/A"
		}
		return strconv.FormatInt(t.Unix(), 10)
	}
	nodes := strings.Join(j.nodes, ",")
	rest := strings.Join([]string{j.state, j.reason, stamp(j.start), stamp(j.ends), j.request.partition, "(null)", nodes}, "|")
	return look{
		state: j.state, reason: j.reason, start: j.start, changed: j.changed,
		info: fmt.Sprintf("JobId=%d JobName=%s JobState=%s Reason=%s Partition=%s Account=(null) StartTime=%s EndTime=%s NodeList=%s",
			j.id, j.name, j.state, j.reason, j.request.partition, stamp(j.began), stamp(j.ends), nodes),
		listed: j.number() + "|" + rest,
		queue:  j.number() + "|" + rest + "|" + j.name,
		nodes:  nodes, begins: stamp(j.began), ends: stamp(j.ends),
	}
}

// where is squeue's %T|%N|%u|%e|%S of a job that runs.
func (l look) where(user string) string {
	return strings.Join([]string{l.state, l.nodes, user, l.ends, l.begins}, "|")
}

// answer is squeue's %T|%r|%S.
func (l look) answer() string {
	start := "N/A"
	if !l.start.IsZero() {
		start = strconv.FormatInt(l.start.Unix(), 10)
	}
	return l.state + "|" + l.reason + "|" + start
}

// mine are the user's active jobs.
func (ctl *controller) mine() []look {
	ctl.mu.Lock()
	var mine []*job
	for _, j := range ctl.jobs {
		if j.active() && j.run != nil {
			mine = append(mine, j)
		}
	}
	ctl.mu.Unlock()
	var all []look
	for _, j := range mine {
		all = append(all, ctl.look(j))
	}
	return all
}

func (ctl *controller) stateOf(number string) string {
	j := ctl.find(number)
	if j == nil {
		return ""
	}
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	if !j.active() {
		return ""
	}
	return j.state
}

// queue lists the active jobs.
func (ctl *controller) queue() string {
	ctl.mu.Lock()
	defer ctl.mu.Unlock()
	var lines []string
	for _, j := range ctl.jobs {
		if j.active() {
			lines = append(lines, fmt.Sprintf("%d %s %s %s", j.id, j.name, j.state, j.reason))
		}
	}
	return strings.Join(lines, "\n")
}
