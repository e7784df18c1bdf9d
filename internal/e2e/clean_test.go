//go:build lab

package e2e

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// begin is the first line of every test: the lab is clean before it, and must
// be clean again after everything that the test itself started has ended.
func begin(t *testing.T) {
	t.Helper()
	resumeNodes(t)
	awaitNode(t)
	before := files()
	if b := blind(before); b != "" {
		t.Fatal(b)
	}
	earlierLogs = logsAmong(before)
	t.Cleanup(func() {
		// sshd keeps its end of a connection that was cut until TCP tries again to tell it of the
		// other's.
		left := poll(time.Minute, func() string {
			// The rest is asked when they have ended.
			if processes := processesLeft(); len(processes) > 0 {
				return strings.Join(processes, "\n")
			}
			left := leftovers(before)
			if onlyRecords(left) {
				// Of a client that was killed, or could not see its job gone. The next look at
				// the cluster clears them up.
				_, _ = try(t, "alice", "laptop", lab.bin, "ps", "--refresh", "--cluster", "daint")
				left = leftovers(before)
			}
			return left
		})
		if left == "" {
			return
		}
		t.Errorf("left behind:\n%s", cmp.Or(leftovers(before), left))
		sweep(t)
	})
}

// onlyRecords reports whether nothing is left but records of sessions.
func onlyRecords(left string) bool {
	for line := range strings.Lines(left) {
		if !strings.HasPrefix(line, "file laptop:/home/alice/.local/state/cscs/sessions/") {
			return false
		}
	}
	return left != ""
}

// blind tells what the looks at the lab do not see though it is always there: "nothing is left" means nothing
// where they see nothing.
func blind(seen map[string]bool) string {
	var missing []string
	hosts := map[string]bool{}
	eachProcess(func(p process) { hosts[p.host] = true })
	for _, host := range lab.Hosts {
		if !hosts[host] {
			missing = append(missing, "a process on "+host)
		}
	}
	for _, host := range append([]string{"ela", "daint"}, lab.Nodes...) {
		if !slices.ContainsFunc(listeners(host), func(l labctl.Listener) bool { return l.Addr.Port() == 22 && l.UID == 0 }) {
			missing = append(missing, "the port of sshd on "+host)
		}
	}
	for _, path := range []string{"laptop:/home/alice/.ssh/known_hosts", "cluster:/home/alice/.bashrc", "cluster:/home/mallory/.bashrc", "ela:/home/alice/"} {
		if !seen[path] {
			missing = append(missing, path)
		}
	}
	for _, host := range lab.Hosts {
		if _, err := os.ReadDir(lab.Path(host, "/tmp")); err != nil {
			missing = append(missing, host+":/tmp")
		}
	}
	if len(missing) > 0 {
		return "the tests do not see " + strings.Join(missing, ", ")
	}
	return ""
}

// leftovers tells what is not as it was: jobs, processes, ports, files.
func leftovers(before map[string]bool) string {
	var left []string
	now := files()
	if b := blind(now); b != "" {
		left = append(left, b)
	}
	for line := range strings.Lines(squeue("COMPLETING")) {
		left = append(left, "job "+strings.TrimSpace(line))
	}
	left = append(left, processesLeft()...)
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

// processesLeft describes alice's and mallory's processes.
func processesLeft() (left []string) {
	for _, p := range userProcesses() {
		left = append(left, fmt.Sprintf("process on %s: %s", p.host, p.cmdline))
	}
	return left
}

// sweep makes the lab clean by force, so that one failure stays one.
func sweep(t *testing.T) {
	t.Helper()
	_, _ = try(t, "root", "daint", "scancel", "-u", "alice")
	_, _ = try(t, "root", "daint", "scancel", "-u", "mallory")
	for _, p := range userProcesses() {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	_ = os.RemoveAll(clusterHome(".cscs"))
	_ = os.RemoveAll(laptopHome(".local/state/cscs/sessions"))
	_ = os.RemoveAll(laptopHome(".local/state/cscs/connections"))
	if left := poll(30*time.Second, func() string { return squeue("COMPLETING") }); left != "" {
		t.Logf("even after sweeping: %s", left)
	}
}

type process struct {
	pid     int
	host    string
	uid     uint32
	cmdline string
}

// userProcesses are alice's and mallory's on all hosts of this lab.
func userProcesses() []process {
	var ours []process
	eachProcess(func(p process) { ours = append(ours, p) }, labctl.AliceUID, labctl.MalloryUID)
	return ours
}

// eachProcess visits every process on every host of the lab, also those in a pid namespace further down, or only those of
// some users. It sees every process of this machine: finding a process's host costs 18 µs, its user 6 µs.
func eachProcess(visit func(process), users ...uint32) {
	hostOf := map[string]string{}
	for _, host := range lab.Hosts {
		if ns, err := os.Readlink("/proc/" + lab.HostPID(host) + "/ns/uts"); err == nil {
			hostOf[ns] = host
		}
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			continue
		}
		uid := info.Sys().(*syscall.Stat_t).Uid
		if len(users) > 0 && !slices.Contains(users, uid) {
			continue
		}
		ns, err := os.Readlink(dir + "/ns/uts")
		host, ok := hostOf[ns]
		if err != nil || !ok {
			continue
		}
		cmdline, err := os.ReadFile(dir + "/cmdline")
		if err != nil || len(cmdline) == 0 {
			continue // gone, or a dead one that nobody has collected yet
		}
		p := process{host: host, uid: uid, cmdline: strings.ReplaceAll(string(cmdline), "\x00", " ")}
		if _, err := fmt.Sscan(filepath.Base(dir), &p.pid); err == nil {
			visit(p)
		}
	}
}

// userListeners are the ports on which a user's process listens on a host.
func userListeners(host string) []netip.AddrPort {
	var found []netip.AddrPort
	for _, l := range listeners(host) {
		if l.UID == labctl.AliceUID || l.UID == labctl.MalloryUID {
			found = append(found, l.Addr)
		}
	}
	return found
}

// listeners are all of a host; none if it is down. See blind.
func listeners(host string) []labctl.Listener {
	found, _ := lab.Listeners(host)
	return found
}

// files are all of alice's and mallory's, by the host they are seen on. Directories
// (which end in "/") count too. The checkout is left out: laptop and ela show it even if it is below
// /tmp, it has thousands of files, and neither user can write there.
func files() map[string]bool {
	all := map[string]bool{}
	roots := map[string]string{
		"laptop:/home":  lab.Env["LAPTOP_HOMES"],
		"ela:/home":     filepath.Dir(lab.Env["ELA_HOME"]),
		"cluster:/home": lab.Env["CLUSTER_HOMES"],
	}
	skip := map[string]bool{}
	for _, host := range lab.Hosts {
		skip[lab.Path(host, lab.checkout)] = true
		for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run/user"} {
			roots[host+":"+dir] = lab.Path(host, dir)
		}
	}
	for name, root := range roots {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			if d.IsDir() {
				if skip[path] {
					return fs.SkipDir
				}
				path += "/"
			}
			if uid := info.Sys().(*syscall.Stat_t).Uid; uid == labctl.AliceUID || uid == labctl.MalloryUID {
				all[name+strings.TrimPrefix(path, root)] = true
			}
			return nil
		})
	}
	return all
}

// stays are the files that may outlive a session: the log that was fetched, a
// host key that alice accepted, and what the servers themselves keep.
var stays = regexp.MustCompile(`^(` + strings.Join([]string{
	`laptop:/home/(alice|mallory)/\.local/(state/(cscs/([^/]*\.log|ended\.json|sessions/(\.lock)?|run/([^/]*\.lock)?)?)?)?`,
	`laptop:/run/user/\d+/cscs/([^/]*\.(lock|sock))?`, // a killed process leaves its socket, for the next to remove
	`laptop:/tmp/another/.*`, // a second laptop's state
	`laptop:/home/alice/\.ssh/known_hosts`,
	`cluster:/home/alice/\.(jupyter|ipython|local/(share/(jupyter|fish)?)?|local/share/(jupyter|fish)|cache|config|bash_history|python_history)(/.*)?`,
	`nid\d+:/tmp/\.tensorboard-info/.*`, // also its directory
}, "|") + `)$`)

func mayStay(path string) bool { return stays.MatchString(path) }

// earlierLogs are those that were there when the test began.
var earlierLogs []string

// serverLogs are the logs that sessions fetched to the laptop, oldest first.
func serverLogs() []string { return logsAmong(files()) }

func logsAmong(files map[string]bool) []string {
	var logs []string
	for path := range maps.Keys(files) {
		if rest, ok := strings.CutPrefix(path, "laptop:/home/alice/.local/state/cscs/"); ok && strings.HasSuffix(rest, ".log") {
			logs = append(logs, laptopHome(".local/state/cscs", rest))
		}
	}
	slices.SortFunc(logs, func(a, b string) int {
		x, errA := os.Stat(a)
		y, errB := os.Stat(b)
		if errA != nil || errB != nil {
			return strings.Compare(a, b)
		}
		return x.ModTime().Compare(y.ModTime())
	})
	return logs
}

// environ is the environment that a process was started with.
func environ(pid int) map[string]string {
	env := map[string]string{}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	for entry := range strings.SplitSeq(string(text), "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	return env
}
