package slurm

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestListeners holds the parser of /proc/net/tcp to lines that kernels print, and
// to who may be forwarded to.
func TestListeners(t *testing.T) {
	t.Parallel()
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	entry := func(addr, state, uid string) string {
		return "   0: " + addr + " 00000000:0000 " + state + " 00000000:00000000 00:00000000 00000000  " + uid + "        0 77 1 0000000000000000 100 0 0 10 0\n"
	}
	const port, me, other = ":22B8", " 2001", "  2002" // 8888
	for name, c := range map[string]struct{ tcp, tcp6, want string }{
		"nobody":              {"", "", "none"},
		"ours":                {entry("0100007F"+port, "0A", me), "", "ours 127.0.0.1"},
		"ours in IPv6":        {"", entry("00000000000000000000000001000000"+port, "0A", me), "ours ::1"},
		"ours, mapped":        {"", entry("0000000000000000FFFF00000100007F"+port, "0A", me), "ours 127.0.0.1"},
		"ours twice":          {entry("0100007F"+port, "0A", me), entry("00000000000000000000000001000000"+port, "0A", me), "ours 127.0.0.1"},
		"another port":        {entry("0100007F:22B9", "0A", me), "", "none"},
		"a connection only":   {entry("0100007F"+port, "01", me), "", "none"},
		"foreign":             {entry("0100007F"+port, "0A", other), "", "foreign"},
		"root's":              {entry("0100007F"+port, "0A", "    0"), "", "foreign"},
		"ours beside foreign": {entry("0200007F"+port, "0A", other) + entry("0100007F"+port, "0A", me), entry("00000000000000000000000001000000"+port, "0A", other), "ours 127.0.0.1"},
		"wide":                {entry("00000000"+port, "0A", me), "", "wide 127.0.0.1 0.0.0.0"},
		"wide in IPv6":        {"", entry("00000000000000000000000000000000"+port, "0A", me), "wide ::1 ::"},
		"one address":         {entry("0A01A8C0"+port, "0A", me), "", "wide 192.168.1.10 192.168.1.10"},
		"one address in IPv6": {"", entry("B80D0120000000000000000001000000"+port, "0A", me), "wide 2001:0db8:0000:0000:0000:0000:0000:0001 2001:0db8:0000:0000:0000:0000:0000:0001"},
		"loopback and wide":   {entry("0100007F"+port, "0A", me) + entry("00000000"+port, "0A", me), "", "wide 127.0.0.1 0.0.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"tcp": head + c.tcp, "tcp6": head + c.tcp6} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			// UID is read-only in bash: the uid of the test stands for alice's.
			text := strings.ReplaceAll(script(), "$UID", "2001") + `
cscs_proc_net=$1
cscs_judge_port 8888
echo "$cscs_verdict" $([[ $cscs_verdict == foreign ]] || echo "$cscs_addr") $([[ $cscs_verdict == wide ]] && echo "$cscs_bound")`
			out, err := bashCommand(t, text, dir).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if diff := cmp.Diff(c.want, strings.TrimSpace(string(out))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// procNet writes what a kernel shows as /proc/net/tcp and tcp6: so many listeners of root's, one of the user's (2001) at
// 127.0.0.1:8888, and so many connections, in each of the two files.
func procNet(t *testing.T, listeners, connections int) string {
	t.Helper()
	dir := t.TempDir()
	for file, addr := range map[string]string{"tcp": "0100007F", "tcp6": "0000000000000000FFFF00000100007F"} {
		var b strings.Builder
		b.WriteString("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
		line := func(i, port int, state string, uid int) {
			fmt.Fprintf(&b, "%4d: %s:%04X %s:%04X %s 00000000:00000000 00:00000000 00000000 %5d        0 %d 1 0000000000000000 100 0 0 10 0\n",
				i, addr, port, addr, i%65536, state, uid, 1000+i)
		}
		for i := range listeners {
			line(i, 10000+i%1000, "0A", 0)
		}
		if file == "tcp" {
			line(listeners, 8888, "0A", 2001)
		}
		for i := range connections {
			line(listeners+1+i, 10000+i%1000, "01", 2001)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestListenersAreAllSeen: no number of listeners hides the last of them.
func TestListenersAreAllSeen(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 62, 63, 64, 65, 511, 512, 1023, 1024, 5000} {
		for _, connections := range []int{0, 1, 100} {
			text := strings.ReplaceAll(script(), "$UID", "2001") + "\ncscs_proc_net=$1\ncscs_judge_port 8888\necho \"$cscs_verdict ${#cscs_found[@]}\""
			out, err := bashCommand(t, text, procNet(t, n, connections)).CombinedOutput()
			if want := fmt.Sprintf("ours %d\n", 2*n+1); err != nil || string(out) != want {
				t.Errorf("%d listeners, %d connections: %q, %v, want %q", n, connections, out, err, want)
			}
		}
	}
}

// TestLookIsCheap: the connections on a node cost a look next to nothing: with 50,000 of them, less than 1 % of a core for
// a look every 2 s.
func TestLookIsCheap(t *testing.T) {
	t.Parallel()
	const times, most = 5, 20 * time.Millisecond
	cost := func(connections int) time.Duration {
		text := script() + "\ncscs_proc_net=$1\nfor ((i = 0; i < " + strconv.Itoa(times) + "; i++)); do cscs_judge_port 8888; done"
		cmd := bashCommand(t, text, procNet(t, 20, connections))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	none := cost(0)
	if each := (cost(25000) - none) / times; each > most {
		t.Errorf("50,000 connections cost a look %v of CPU, over %v", each, most)
	}
}

// TestLookRests: the more a look costs, the longer the next one waits: looks take 0.5 % of a core.
func TestLookRests(t *testing.T) {
	t.Parallel()
	text := script() + `
cscs_proc_net=$1
cscs_listeners
few=$cscs_look_rest
cscs_proc_net=$2
cscs_read_stat $$
cost=$((stat[11] + stat[12]))
cscs_listeners
cscs_read_stat $$
echo "$few $(((stat[11] + stat[12] - cost) * 10)) $cscs_look_rest"`
	out, err := bashCommand(t, text, procNet(t, 20, 0), procNet(t, 10000, 0)).CombinedOutput()
	var few, cost, many int
	if _, scanErr := fmt.Sscan(string(out), &few, &cost, &many); err != nil || scanErr != nil {
		t.Fatalf("%v, %v: %s", err, scanErr, out)
	}
	if few > 4000 || cost < 50 || many < 180*cost || many > 200*cost {
		t.Errorf("the next look waits for %d ms after a cheap one, and for %d ms after one of %d ms", few, many, cost)
	}
}

// TestWish: a server gets the port that the client wishes for if nothing listens there, at any address and
// of any user, and another one once it was lost.
func TestWish(t *testing.T) {
	t.Parallel()
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	entry := func(addr, uid string) string {
		return "   0: " + addr + " 00000000:0000 0A 00000000:00000000 00:00000000 00000000  " + uid + "        0 77 1 0000000000000000 100 0 0 10 0\n"
	}
	for name, c := range map[string]struct {
		tcp, tcp6, set string
		want           bool
	}{
		"free":             {"", "", "cscs_wish=8888", true},
		"no wish":          {"", "", "cscs_wish=0", false},
		"ours":             {entry("0100007F:22B8", "2001"), "", "cscs_wish=8888", false},
		"foreign":          {entry("0100007F:22B8", "2002"), "", "cscs_wish=8888", false},
		"foreign and wide": {"", entry("00000000000000000000000000000000:22B8", "2002"), "cscs_wish=8888", false},
		"foreign on ::1":   {"", entry("00000000000000000000000001000000:22B8", "2002"), "cscs_wish=8888", false},
		"another port":     {entry("0100007F:22B9", "2002"), "", "cscs_wish=8888", true},
		"lost":             {"", "", "cscs_wish=8888 cscs_listen=8888", false},
		"asked for":        {"", "", "cscs_wish=7777 cscs_port=8888", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"tcp": head + c.tcp, "tcp6": head + c.tcp6} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			text := strings.ReplaceAll(script(), "$UID", "2001") + "\ncscs_proc_net=$1 " + c.set + "\ncscs_choose_port && echo $cscs_listen"
			out, err := bashCommand(t, text, dir).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got := strings.TrimSpace(string(out)); got == "" || (got == "8888") != c.want {
				t.Errorf("the server gets port %s", got)
			}
		})
	}
}

// TestFindJobOf: the job of a process is that of its cgroup, as the kernel shows it, or of its environment.
func TestFindJobOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ cgroup, environ, want string }{
		"cgroup v2":         {"0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n", "", "4711"},
		"cgroup v1":         {"9:pids:/\n4:memory:/slurm/uid_2001/job_4711/step_batch/task_0\n1:name=systemd:/\n", "", "4711"},
		"adopted":           {"0::/system.slice/slurmstepd.scope/job_4711/step_extern/user\n", "", "4711"},
		"the job's own":     {"3:freezer:/slurm/uid_2001/job_4711\n", "", "4711"},
		"cgroup before":     {"0::/slurm/job_4711/step_0\n", "SLURM_JOB_ID=12\x00", "4711"},
		"environment":       {"0::/\n", "HOME=/\x00SLURM_JOB_ID=4711\x00X=1\x00", "4711"},
		"neither":           {"0::/user.slice/user-2001.slice\n", "HOME=/\x00", ""},
		"not readable":      {"", "", ""},
		"a directory's":     {"0::/user.slice/myjob_12x/\n", "", ""},
		"no number":         {"0::/\n", "SLURM_JOB_ID=$(reboot)\x00", ""},
		"too long a number": {"0::/\n", "SLURM_JOB_ID=99999999999999999999\x00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"cgroup": c.cgroup, "environ": c.environ} {
				if text == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := bashCommand(t, script()+"\ncscs_find_job_of \"$1\" && echo \"$REPLY\" || true", dir).Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
				t.Errorf("job %q, %v", got, err)
			}
		})
	}
}
