//go:build lab

package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// neighbours are what runs and lies beside the sessions (invariant I11): jobs, processes and files of the same
// user, some with our names, and another user's. They stay for as long as no fault takes them; after each
// round all of it has to be exactly as before.
type neighbours struct {
	t     *testing.T        // the run's: they outlive a round
	jobs  map[string]string // by number: what Slurm says of each
	procs map[int]procFacts
	files map[string]string // by path: kind, mode, owner, time and content
	own   []*background
	stale bool // a fault has taken some of it

	// Of the round's user: its agent or ssh, as procs, and what a command of cscs is given for them.
	users map[int]procFacts
	agent *background // nil if it has none
	env   []string
}

// procFacts tell a process from a later one with its number.
type procFacts struct {
	process
	began string // field 22 of /proc/PID/stat
}

func (p procFacts) String() string {
	return fmt.Sprintf("process %d of uid %d on %s, begun at %s: %s", p.pid, p.uid, p.host, p.began, p.cmdline)
}

// The commands by which the neighbours' processes are known: one in each job, one beside all jobs, and one in the
// job that a session submits.
const (
	jobSleeps   = "sleep 86401"
	besideSleep = "sleep 86402"
	innerSleeps = "sleep 86403"
	urgentSleep = "sleep 86404"
)

// Where the neighbours' jobs are. Sessions run on the first node too, where it is shared; on the second there
// are the neighbours alone, and the others are free.
func crowdedNode() string    { return lab.Nodes[0] }
func neighbourNode() string  { return lab.Nodes[1] }
func freeNodes() []string    { return lab.Nodes[2:] }
func ourDir(id string) bool  { return !slices.Contains(foreignDirs, id) }
func innerName(n int) string { return fmt.Sprintf("inner-%d", n) }

// foreignDirs are directories beside those of the sessions. The second and the third have names that a session
// could have.
var foreignDirs = []string{"notours", "hgfedcba", "zyxwvuts"}

// neighbourJobs are submitted once; the last waits.
var neighbourJobs = []struct {
	user, name, env string
	where           func() string
	partition       string
}{
	{"alice", "cscs-training", "", crowdedNode, "shared"},
	{"alice", "cscs-abcdefgh", "CSCS_SESSION=abcdefgh", crowdedNode, "shared"},
	{"alice", "cscs-../../precious", "CSCS_SESSION=../../precious", neighbourNode, "shared"},
	{"alice", "cscs-", "CSCS_SESSION=", neighbourNode, "shared"},
	{"alice", "cscs-hgfedcba", "CSCS_SESSION=hgfedcba", neighbourNode, "shared"}, // with a directory of that name
	{"alice", "training", "CSCS_SESSION=hgfedcba", crowdedNode, "shared"},
	{"mallory", "cscs-mallorys", "CSCS_SESSION=mallorys", crowdedNode, "shared"},
	{"alice", "cscs-waiting2", "", nil, "down"},
}

// ensure makes the neighbours, unless they are there.
func (n *neighbours) ensure(t *testing.T) {
	t.Helper()
	if n.jobs != nil && !n.stale {
		return
	}
	n.remove()
	n.jobs, n.procs, n.stale = map[string]string{}, map[int]procFacts{}, false
	n.writeFiles(t)
	for _, j := range neighbourJobs {
		words := []string{"sbatch", "--parsable", "-p", j.partition, "-n1", "--mem=100", "-t", "12:00:00", "-o", "/dev/null", "-J", j.name}
		if j.where != nil {
			words = append(words, "-w", j.where())
		}
		if j.env != "" {
			words = append([]string{j.env}, words...)
		}
		n.jobs[output(t, j.user, "daint", append(words, "--wrap", "exec "+jobSleeps)...)] = ""
	}
	running := len(neighbourJobs) - 1
	for _, host := range []string{"daint", "laptop"} {
		n.own = append(n.own, start(n.t, as(context.Background(), "alice", host, append([]string{"CSCS_SESSION=abcdefgh"}, strings.Fields(besideSleep)...)...)))
	}
	if left := poll(patience, func() string {
		count := map[string]int{}
		n.procs = n.look()
		for _, p := range n.procs {
			count[strings.TrimSpace(p.cmdline)]++
		}
		if count[jobSleeps] != running || count[besideSleep] != 2 {
			return fmt.Sprintf("processes: %v, jobs: %s", count, squeue(""))
		}
		return ""
	}); left != "" {
		t.Fatalf("the neighbours do not start: %s", left)
	}
	for id := range n.jobs {
		n.jobs[id] = jobFacts(t, id)
	}
}

// look finds the neighbours' processes as they are now.
func (n *neighbours) look() map[int]procFacts {
	found := map[int]procFacts{}
	for _, p := range userProcesses() {
		if c := strings.TrimSpace(p.cmdline); c == jobSleeps || c == besideSleep {
			found[p.pid] = procFacts{p, beganAt(p.pid)}
		}
	}
	return found
}

// beganAt is a process's start time, "" if there is none.
func beganAt(pid int) string {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	if f := strings.Fields(rest); len(f) > 19 {
		return f[19]
	}
	return ""
}

// jobFacts is what must not change of a job. slurmctld may be starting again.
func jobFacts(t *testing.T, id string) string {
	t.Helper()
	var out string
	if why := poll(patience, func() string {
		var err error
		if out, err = try(t, "root", "ctl", "scontrol", "show", "job", "-o", id); err != nil {
			return out
		}
		return ""
	}); why != "" {
		return "Slurm does not know it: " + why
	}
	facts := map[string]string{}
	for _, word := range strings.Fields(out) {
		if name, value, ok := strings.Cut(word, "="); ok && facts[name] == "" {
			facts[name] = value
		}
	}
	var words []string
	for _, name := range []string{"JobId", "JobName", "UserId", "JobState", "NodeList", "Restarts"} {
		words = append(words, name+"="+facts[name])
	}
	// What waits is given another estimate from time to time.
	if facts["JobState"] != "PENDING" {
		words = append(words, "StartTime="+facts["StartTime"])
	}
	return strings.Join(words, " ")
}

// writeFiles makes alice's files beside those of the sessions, with an old date, as for one who cleans up.
func (n *neighbours) writeFiles(t *testing.T) {
	t.Helper()
	old := time.Now().Add(-30 * 24 * time.Hour).Truncate(time.Second)
	for _, f := range []struct {
		path, content string
		mode          os.FileMode
	}{
		{clusterHome("precious/results.csv"), "1,2,3\n", 0o640},
		{clusterHome("precious/events"), "alive\tjob=1\n", 0o600},
		{clusterHome(".cscs/daint/notours/thesis.tex"), "\\end{document}\n", 0o644},
		// As a forgotten session's, but for the mark that cscs gives its own.
		{clusterHome(".cscs/daint/hgfedcba/lease"), "0000000001 1\n", 0o600},
		{clusterHome(".cscs/daint/hgfedcba/session.json"), "{\"lease\":60}\n", 0o600},
		{clusterHome(".cscs/daint/hgfedcba/events"), "alive\tjob=1\n", 0o600},
		{clusterHome(".cscs/daint/hgfedcba/log"), "", 0o600},
		{clusterHome(".cscs/daint/hgfedcba/notes.txt"), "mine\n", 0o600},
		{clusterHome(".cscs/daint/zyxwvuts/.hidden/deep"), "mine\n", 0o400},
		{laptopHome("precious/results.csv"), "4,5,6\n", 0o640},
	} {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.path, []byte(f.content), f.mode); err != nil {
			t.Fatal(err)
		}
		for path := f.path; path != clusterHome() && path != laptopHome(); path = filepath.Dir(path) {
			if err := os.Lchown(path, labctl.AliceUID, labctl.AliceUID); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// neighbourRoots are where all files of alice's and mallory's must stay as they are.
func neighbourRoots() []string {
	return []string{lab.Env["CLUSTER_HOMES"], laptopHome("precious"), laptopHome(".ssh")}
}

// readFiles is every file below the roots but those of sessions. The time of a directory that holds sessions
// changes with them.
func (n *neighbours) readFiles() map[string]string {
	all := map[string]string{}
	for _, root := range neighbourRoots() {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			base := clusterHome(".cscs/daint")
			if filepath.Dir(path) == base && ourDir(d.Name()) {
				return fs.SkipDir
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			fact := fmt.Sprintf("%v uid %d", info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
			switch {
			case path == lab.Env["CLUSTER_HOMES"], path == clusterHome(), path == filepath.Dir(base), path == base, path == laptopHome(".ssh"):
			case info.Mode().IsRegular():
				text, _ := os.ReadFile(path)
				fact += fmt.Sprintf(" %v %x", info.ModTime().UnixNano(), sha256.Sum256(text))
			default:
				fact += fmt.Sprint(" ", info.ModTime().UnixNano())
			}
			all[path] = fact
			return nil
		})
	}
	return all
}

// snapshot remembers the files before a round.
func (n *neighbours) snapshot(t *testing.T) {
	t.Helper()
	n.files = n.readFiles()
	for _, path := range []string{clusterHome("precious/results.csv"), clusterHome(".cscs/daint/hgfedcba/notes.txt"), laptopHome("precious/results.csv")} {
		if n.files[path] == "" {
			t.Fatalf("the neighbours have no %s", path)
		}
	}
}

// gone is what a round's faults take with a host, or on it.
type gone struct {
	hosts   map[string]bool // those that crashed
	onLogin bool            // all of alice's processes on the login node were killed
	onJump  bool            // and those on the jump host
}

// harmed tells what is not as it was and was not taken by a fault.
func (n *neighbours) harmed(t *testing.T, g gone) string {
	t.Helper()
	var harm []string
	for id, before := range n.jobs {
		if g.anyNode(before) {
			n.stale = true
			continue
		}
		if now := jobFacts(t, id); now != before {
			harm = append(harm, fmt.Sprintf("a job: before: %s; after: %s", before, now))
		}
	}
	now := n.look()
	for pid, p := range n.procs {
		if g.hosts[p.host] || p.host == "daint" && g.onLogin {
			n.stale = true
			continue
		}
		if now[pid] != p {
			harm = append(harm, fmt.Sprintf("a process: before: %s; after: %s", p, now[pid]))
		}
	}
	files := n.readFiles()
	for path, before := range n.files {
		// ssh writes to the first, and removes its socket when it ends; sessions make mayStay's of their own.
		if strings.Contains(path, "/.ssh/known_hosts") || strings.Contains(path, "/.ssh/control-") || mayStay(n.seen(path)) {
			continue
		}
		if now := files[path]; now != before {
			harm = append(harm, fmt.Sprintf("a file: %s: before: %s; after: %s", path, before, now))
		}
	}
	if len(harm) > 0 {
		n.stale = true
	}
	slices.Sort(harm)
	return strings.Join(harm, "\n")
}

// seen is a path as mayStay knows it.
func (n *neighbours) seen(path string) string {
	if rest, ok := strings.CutPrefix(path, lab.Env["CLUSTER_HOMES"]); ok {
		return "cluster:/home" + rest
	}
	return "laptop:/home" + strings.TrimPrefix(path, lab.Env["LAPTOP_HOMES"])
}

// anyNode reports whether a job ran on a host that crashed.
func (g gone) anyNode(facts string) bool {
	for host := range g.hosts {
		if strings.Contains(facts, "NodeList="+host+" ") {
			return true
		}
	}
	return false
}

// remove takes the neighbours away.
func (n *neighbours) remove() {
	for id := range n.jobs {
		_, _ = try(n.t, "root", "ctl", "scancel", id)
	}
	for _, b := range n.own {
		b.kill()
	}
	for pid := range n.look() { // of a wrapper that was killed
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, dir := range foreignDirs {
		_ = os.RemoveAll(clusterHome(".cscs/daint", dir))
	}
	_ = os.Remove(clusterHome(".cscs/daint"))
	_ = os.Remove(clusterHome(".cscs"))
	_ = os.RemoveAll(clusterHome("precious"))
	_ = os.RemoveAll(laptopHome("precious"))
	poll(patience, func() string {
		var left []string
		for line := range strings.Lines(squeue("")) {
			if id, _, _ := strings.Cut(line, " "); n.hasJob(id) {
				left = append(left, line)
			}
		}
		return strings.Join(left, "")
	})
	n.jobs, n.procs, n.own = nil, nil, nil
}

func (n *neighbours) hasJob(id string) bool {
	_, ok := n.jobs[id]
	return ok
}

// others are the jobs in the queue, as squeue's, that are no neighbours.
func (n *neighbours) others(but string) string {
	var left []string
	for line := range strings.Lines(squeue(but)) {
		line = strings.TrimSpace(line)
		if id, _, _ := strings.Cut(line, " "); !n.hasJob(id) {
			left = append(left, line)
		}
	}
	return strings.Join(left, "\n")
}

// otherProcesses are the users' that are no neighbours.
func (n *neighbours) otherProcesses() []process {
	return slices.DeleteFunc(userProcesses(), func(p process) bool {
		_, ok := n.procs[p.pid]
		// Their titles change.
		if u, is := n.users[p.pid]; is && u.began == beganAt(p.pid) {
			ok = true
		}
		return ok
	})
}

// begin waits until the round before is over, and sees at its own end that nothing of this one is left.
func (n *neighbours) begin(t *testing.T, round int, total tally) {
	t.Helper()
	if left := poll(4*time.Minute, func() string { return n.others("") }); left != "" {
		t.Fatalf("the queue does not empty: %s", left)
	}
	resumeNodes(t)
	n.ensure(t)
	before := files()
	if b := blind(before); b != "" {
		t.Fatal(b)
	}
	t.Cleanup(func() {
		left := poll(time.Minute, func() string {
			left := n.leftovers(before)
			if onlyRecords(left) {
				_, _ = cmd(t, append(slices.Clone(n.env), "ps", "--refresh", "--cluster", "daint")...)
				left = n.leftovers(before)
			}
			return left
		})
		if left != "" {
			total.wrong(t, leftBehind, "\n%s", left)
			fmt.Printf("round %3d: FAILED after its end: %s\n", round, leftBehind)
			n.sweep(t)
		}
	})
	n.snapshot(t)
}

func (n *neighbours) leftovers(before map[string]bool) string {
	var left []string
	now := files()
	if b := blind(now); b != "" {
		left = append(left, b)
	}
	for line := range strings.Lines(n.others("COMPLETING")) {
		left = append(left, "job "+strings.TrimSpace(line))
	}
	for _, p := range n.otherProcesses() {
		left = append(left, fmt.Sprintf("process on %s: %s", p.host, p.cmdline))
	}
	for _, host := range lab.Hosts {
		for _, addr := range userListeners(host) {
			left = append(left, "listener on "+host+": "+addr.String())
		}
	}
	for path := range now {
		if !before[path] && !mayStay(path) {
			left = append(left, "file "+path)
		}
	}
	slices.Sort(left)
	return strings.Join(left, "\n")
}

// sweep makes the lab clean by force, but for the neighbours.
func (n *neighbours) sweep(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(n.others("")) {
		id, _, _ := strings.Cut(line, " ")
		_, _ = try(t, "root", "ctl", "scancel", id)
	}
	for _, p := range n.otherProcesses() {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	n.forgetSessions(t)
	_ = os.RemoveAll(laptopHome(".local/state/cscs/sessions"))
	if left := poll(patience, func() string { return n.others("COMPLETING") }); left != "" {
		t.Logf("even after sweeping: %s", left)
	}
}

// forgetSessions removes what a session that could not reach its cluster had to leave there.
func (n *neighbours) forgetSessions(t *testing.T) {
	t.Helper()
	dirs, err := os.ReadDir(clusterHome(".cscs/daint"))
	if err != nil {
		t.Errorf("the directory of the neighbours: %v", err)
	}
	for _, d := range dirs {
		if ourDir(d.Name()) {
			_ = os.RemoveAll(clusterHome(".cscs/daint", d.Name()))
		}
	}
}

// innerJobs are the jobs that a session submitted under this name, with what Slurm says of each.
func innerJobs(t *testing.T, name string) map[string]string {
	t.Helper()
	jobs := map[string]string{}
	var out string
	if why := poll(patience, func() string {
		var err error
		if out, err = try(t, "root", "ctl", "scontrol", "show", "job", "-o"); err != nil {
			return out
		}
		return ""
	}); why != "" {
		t.Errorf("scontrol show job: %s", why)
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "JobName="+name+" ") {
			id, _, _ := strings.Cut(strings.TrimPrefix(line, "JobId="), " ")
			jobs[id] = strings.TrimSpace(line)
		}
	}
	return jobs
}

// innerHarmed tells what became of the jobs that the session submitted: each runs or waits. submitted: there
// has to be one. They are cancelled.
func (n *neighbours) innerHarmed(t *testing.T, name string, submitted bool, g gone) string {
	t.Helper()
	jobs := innerJobs(t, name)
	var harm []string
	if submitted && len(jobs) == 0 {
		harm = append(harm, "the job that the session submitted is unknown to Slurm")
	}
	running := 0
	for id, facts := range jobs {
		node := nodeOf(facts)
		switch {
		case strings.Contains(facts, "JobState=PENDING "), g.hosts[node]:
		case strings.Contains(facts, "JobState=RUNNING ") && strings.Contains(facts, "Restarts=0 "):
			running++
			if left := poll(10*time.Second, func() string { // it may be just beginning
				for _, p := range userProcesses() {
					if strings.TrimSpace(p.cmdline) == innerSleeps && p.host == node && environ(p.pid)["SLURM_JOB_ID"] == id {
						return ""
					}
				}
				return "no process"
			}); left != "" {
				harm = append(harm, "a job that the session submitted has no process any more: "+facts)
			}
		default:
			harm = append(harm, "a job that the session submitted: "+facts)
		}
		_, _ = try(t, "root", "ctl", "scancel", id)
	}
	if left := poll(patience, func() string {
		for line := range strings.Lines(squeue("COMPLETING")) {
			if id, _, _ := strings.Cut(line, " "); jobs[id] != "" {
				return line
			}
		}
		return ""
	}); left != "" {
		t.Errorf("cancelled, and there is: %s", left)
	}
	return strings.Join(harm, "\n")
}

// nodeOf is the first node in a job's facts.
func nodeOf(facts string) string {
	for _, word := range strings.Fields(facts) {
		if node, ok := strings.CutPrefix(word, "NodeList="); ok {
			return node
		}
	}
	return ""
}

// isInner tells the processes of a job that a session submitted.
func isInner(p process) bool {
	if strings.TrimSpace(p.cmdline) == innerSleeps {
		return true
	}
	id := environ(p.pid)["SLURM_JOB_NAME"]
	_, err := strconv.Atoi(strings.TrimPrefix(id, "inner-"))
	return strings.HasPrefix(id, "inner-") && err == nil
}
