//go:build lab

package e2e

import (
	"encoding/json"
	"fmt"
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

// seen is a line of cscs doctor --json.
type seen struct {
	V       int       `json:"v"`
	Time    time.Time `json:"time"`
	Check   string    `json:"check"`
	Host    string    `json:"host"`
	Status  string    `json:"status"`
	Seen    string    `json:"seen"`
	Problem string    `json:"problem"`
	Hint    string    `json:"hint"`
	Fix     string    `json:"fix"`
	Code    *int      `json:"code"`
	Took    float64   `json:"took"`
}

// doctorChecks are all of them, in the order of the way.
var doctorChecks = strings.Fields("config files key agent names tcp ssh host-key auth login shell clock home slurm partitions account sessions node ports browser")

// withBrowser is the environment in which alice has a display.
const withBrowser = "DISPLAY=:7"

// asksDoctor runs cscs doctor, holds what it says to the contract, and gives it and the exit code.
func asksDoctor(t *testing.T, words ...string) ([]seen, int) {
	t.Helper()
	argv := []string{withBrowser}
	for len(words) > 0 && strings.Contains(words[0], "=") {
		argv, words = append(argv, words[0]), words[1:]
	}
	argv = append(append(argv, lab.bin, "doctor", "--json"), words...)
	began := time.Now()
	b := start(t, as(t.Context(), "alice", "laptop", argv...))
	code := b.exit(patience)
	if took := time.Since(began); took > 21*time.Second { // with the way into the laptop
		t.Errorf("it took %s", took)
	}
	var all []seen
	var order []string
	worst := 0
	for line := range strings.Lines(b.stdout.String()) {
		var s seen
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if s.V != 1 || s.Time.IsZero() || s.Seen == "" || strings.Contains(s.Seen, "\n") {
			t.Errorf("against the contract: %s", line)
		}
		switch s.Status {
		case "ok", "skipped":
			if s.Problem+s.Hint+s.Fix != "" || s.Code != nil {
				t.Errorf("nothing is wrong, and yet: %s", line)
			}
		case "warning", "failure":
			if s.Problem == "" || s.Hint == "" || s.Code == nil || !strings.Contains(s.Hint, s.Fix) {
				t.Errorf("it does not say what fixes it: %s", line)
			}
			if s.Status == "failure" && worst == 0 {
				worst = *s.Code
			}
		default:
			t.Errorf("against the contract: %s", line)
		}
		all = append(all, s)
		if len(order) == 0 || order[len(order)-1] != s.Check {
			order = append(order, s.Check)
		}
	}
	if !slices.Equal(order, doctorChecks) {
		t.Errorf("it looked at %v\n%s", order, b.stderr)
	}
	if code != worst {
		t.Errorf("exit code %d, the first failure's is %d", code, worst)
	}
	return all, code
}

// of is what the check says worst.
func of(all []seen, check string) seen {
	var found seen
	rank := map[string]int{"": -1, "ok": 0, "skipped": 1, "warning": 2, "failure": 3}
	for _, s := range all {
		if s.Check == check && rank[s.Status] > rank[found.Status] {
			found = s
		}
	}
	return found
}

// TestDoctorReport: the report of a healthy route has what the doctor has seen of it, and no name, path or address.
func TestDoctorReport(t *testing.T) {
	begin(t)
	b := start(t, as(t.Context(), "alice", "laptop", withBrowser, lab.bin, "doctor", "--report", "--cluster", "daint"))
	if code := b.exit(patience); code != 0 {
		t.Errorf("exit code %d: %s", code, b.stderr)
	}
	report := b.stdout.String()
	for _, want := range []string{"route to daint", "hosts: 2", "valid for ", "shell: bash", "version: 2", "ssh:     OpenSSH_"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if found := regexp.MustCompile(`alice|cscs-key|nid[0-9]|/home|/tmp|([0-9]+\.){3}[0-9]+|[0-9a-f]*::`).FindAllString(report, -1); len(found) > 0 {
		t.Errorf("the report has %q", found)
	}
	if t.Failed() {
		t.Log(report)
	}
}

// TestDoctorHealthy: nothing is wrong, with a job and without.
func TestDoctorHealthy(t *testing.T) {
	begin(t)
	all, code := asksDoctor(t)
	for _, s := range all {
		if s.Status != "ok" && (s.Check != "node" || s.Status != "skipped") {
			t.Errorf("%+v", s)
		}
	}
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	if s := of(all, "sessions"); !strings.Contains(s.Seen, "including this one: 1") {
		t.Errorf("logins: %+v", s)
	}
	occupy(t, "alice", "-w", "nid001001")
	all, _ = asksDoctor(t)
	if s := of(all, "node"); s.Status != "ok" || s.Host != "nid001001" {
		t.Errorf("%+v", s)
	}
}

// TestDoctorFar: a slow line is no fault of anybody's at its other end.
func TestDoctorFar(t *testing.T) {
	begin(t)
	rtt(t, 600*time.Millisecond)
	// A line that is blamed is blamed each time; a machine that is slow itself is not.
	var faults []string
	for range 3 {
		faults = nil
		all, code := asksDoctor(t)
		for _, s := range all {
			if s.Status != "ok" && s.Status != "skipped" {
				faults = append(faults, fmt.Sprintf("%+v", s))
			}
		}
		if code != 0 {
			faults = append(faults, fmt.Sprintf("exit code %d", code))
		}
		if len(faults) == 0 {
			return
		}
	}
	t.Errorf("three times: %q", faults)
}

// An ailment is one thing that is broken, and how the doctor tells of it.
type ailment struct {
	name, check, status, problem string
	says                         []string
	fix                          string                           // what can be pasted, or a part of it
	doctor, healed               []string                         // words for cscs doctor; once it is mended, if others
	harm                         func(t *testing.T) (mend func()) // breaks it
	paste                        bool                             // the fix is run as it is, by alice on the laptop, and mends it
	same                         bool                             // any command tells of it in the same words
}

// TestDoctor: each check is broken, and tells; it is mended, mostly by what the doctor proposes, and
// is good again. Whatever command meets the same, says the same.
func TestDoctor(t *testing.T) {
	for _, a := range slices.Concat(ailmentsHere, ailmentsOnTheWay, ailmentsThere) {
		t.Run(a.name, func(t *testing.T) {
			begin(t)
			mend := a.harm(t)
			all, code := asksDoctor(t, a.doctor...)
			s := of(all, a.check)
			if s.Status != a.status || s.Problem != a.problem || !strings.Contains(s.Fix, a.fix) {
				t.Errorf("want %s %s with fix %q, got %+v\nall of it: %+v", a.status, a.problem, a.fix, s, all)
			}
			says(t, s.Seen, a.says...)
			if a.same {
				sameWords(t, a, s, code)
			}
			if a.paste {
				if out, err := try(t, "alice", "laptop", "sh", "-c", s.Fix); err != nil {
					t.Errorf("%s: %v %s", s.Fix, err, out)
				}
			} else {
				mend()
			}
			words := a.doctor
			if a.healed != nil {
				words = a.healed
			}
			if s := of(first2(asksDoctor(t, words...)), a.check); s.Status != "ok" {
				t.Errorf("mended: %+v", s)
			}
		})
	}
}

func first2(all []seen, _ int) []seen { return all }

// sameWords has another command meet the same.
func sameWords(t *testing.T, a ailment, s seen, code int) {
	t.Helper()
	var env, flags []string
	for _, w := range a.doctor {
		if strings.Contains(w, "=") && !strings.HasPrefix(w, "-") {
			env = append(env, w)
		} else {
			flags = append(flags, w)
		}
	}
	c := cscs(t, append(append(env, "tunnel", "--node", "nid001001", "--port", "6006"), flags...)...)
	if got := c.exit(patience); got != code {
		t.Errorf("cscs tunnel ends with %d, cscs doctor with %d", got, code)
	}
	if code == 2 { // no event, but plainly
		says(t, c.stderr.String(), append(strings.Split(s.Hint, "\n"), s.Seen)...)
		return
	}
	e, ok := c.find("error")
	if !ok || e.Message != s.Seen || e.Hint != s.Hint {
		t.Errorf("cscs tunnel says %q, %q; cscs doctor %q, %q", e.Message, e.Hint, s.Seen, s.Hint)
	}
}

// moved takes a file of alice's laptop away; mend puts it back.
func moved(t *testing.T, path string) func() {
	t.Helper()
	file := laptopHome(path)
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	back := func() { _ = os.Rename(file+".away", file) }
	t.Cleanup(back)
	return back
}

// mode sets a file's permissions; the test's end sets them back.
func mode(t *testing.T, path string, m os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err == nil {
		t.Cleanup(func() { _ = os.Chmod(path, info.Mode()) })
		err = os.Chmod(path, m)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// certified signs alice's key in another way; mend signs it as ever.
func certified(t *testing.T, args ...string) func() {
	t.Helper()
	back := func() { tell(t, "cert", "alice") }
	t.Cleanup(back)
	tell(t, append([]string{"cert", "alice"}, args...)...)
	return back
}

// agentWith starts an agent of alice's with some keys in it; it gives its socket.
func agentWith(t *testing.T, keys int) string {
	t.Helper()
	dir := mkdir(t, laptopHome("agent"))
	b := start(t, as(t.Context(), "alice", "laptop", "ssh-agent", "-D", "-a", "agent/socket"))
	t.Cleanup(func() { // it does not heed what stands for it here
		for _, p := range userProcesses() {
			if strings.HasPrefix(p.cmdline, "ssh-agent ") {
				_ = syscall.Kill(p.pid, syscall.SIGTERM)
			}
		}
	})
	if left := poll(patience, func() string {
		if _, err := os.Stat(filepath.Join(dir, "socket")); err != nil {
			return err.Error()
		}
		return ""
	}); left != "" {
		t.Fatalf("no agent: %s\n%s", left, b.stderr)
	}
	for i := range keys {
		output(t, "alice", "laptop", "sh", "-c", fmt.Sprintf("ssh-keygen -q -t ed25519 -N '' -f agent/k%d && SSH_AUTH_SOCK=agent/socket ssh-add -q agent/k%d", i, i))
	}
	return "/home/alice/agent/socket"
}

// configured writes a config.toml for the length of the test.
func configured(t *testing.T, text string) func() {
	t.Helper()
	file := laptopHome("doctor.toml")
	put(t, file, text, 0o600)
	return func() { write(t, file, "") }
}

const withConfig = "CSCS_CONFIG=/home/alice/doctor.toml"

var ailmentsHere = []ailment{
	{name: "config.toml", check: "config", status: "failure", problem: "config", says: []string{"acount", "account"}, doctor: []string{withConfig}, same: true,
		harm: func(t *testing.T) func() { return configured(t, "[clusters.daint]\nacount = 'x'\n") }},
	{name: "ssh-config-writable", check: "config", status: "failure", problem: "ssh-config", says: []string{"Bad owner or permissions"}, fix: "chmod 600 ", same: true, paste: true,
		harm: func(t *testing.T) func() {
			put(t, laptopHome(".ssh/config"), "Host x\n", 0o666)
			return nil
		}},
	{name: "ssh-config-bad", check: "config", status: "failure", problem: "ssh-config", says: []string{"nonsense"}, fix: "/home/alice/.ssh/config", same: true,
		harm: func(t *testing.T) func() {
			put(t, laptopHome(".ssh/config"), "Host x\n Nonsense yes\n", 0o600)
			return func() { write(t, laptopHome(".ssh/config"), "") }
		}},
	{name: "ssh-dir-writable", check: "files", status: "failure", problem: "file-mode", says: []string{"0777"}, fix: "chmod 700 /home/alice/.ssh", paste: true,
		harm: func(t *testing.T) func() { mode(t, laptopHome(".ssh"), 0o777); return nil }},
	{name: "ssh-dir-unwritable", check: "files", status: "warning", problem: "ssh-dir", says: []string{"cannot write in /home/alice/.ssh", "permission denied"}, fix: "chmod u+rwx /home/alice/.ssh", paste: true,
		harm: func(t *testing.T) func() { mode(t, laptopHome(".ssh"), 0o500); return nil }},
	{name: "state-dir-shut", check: "files", status: "failure", problem: "state-dir", says: []string{"/home/alice/.local/state/cscs", "permission denied"}, fix: "chmod u+rwx /home/alice/.local/state/cscs", paste: true,
		harm: func(t *testing.T) func() {
			output(t, "alice", "laptop", "mkdir", "-p", ".local/state/cscs")
			mode(t, laptopHome(".local/state/cscs"), 0o500)
			return nil
		}},
	{name: "known-hosts-shut", check: "files", status: "warning", problem: "known-hosts-file", says: []string{"/home/alice/.ssh/known_hosts", "permission denied"}, fix: "chmod u+rw /home/alice/.ssh/known_hosts", paste: true,
		harm: func(t *testing.T) func() { mode(t, laptopHome(".ssh/known_hosts"), 0); return nil }},
	{name: "ssh-config-shut", check: "files", status: "warning", problem: "ssh-config-file", says: []string{"/home/alice/.ssh/config", "permission denied"}, fix: "chmod u+rw /home/alice/.ssh/config", paste: true,
		harm: func(t *testing.T) func() {
			put(t, laptopHome(".ssh/config"), "", 0o600)
			mode(t, laptopHome(".ssh/config"), 0)
			return nil
		}},
	{name: "no-key", check: "key", status: "failure", problem: "key-file", says: []string{"not a private key"}, fix: "mv -i /home/alice/.ssh/cscs-key /home/alice/.ssh/cscs-key.away && mv -i ", same: true,
		harm: func(t *testing.T) func() {
			before := readFile(t, laptopHome(".ssh/cscs-key"))
			write(t, laptopHome(".ssh/cscs-key"), "hello")
			return func() { write(t, laptopHome(".ssh/cscs-key"), before) }
		}},
	{name: "agent-locked", check: "agent", status: "warning", problem: "agent-locked", says: []string{"locked"}, fix: "ssh-add -X",
		doctor: []string{"SSH_AUTH_SOCK=/home/alice/agent/socket"}, harm: func(t *testing.T) func() {
			agentWith(t, 0)
			output(t, "alice", "laptop", "sh", "-ec", `ssh-keygen -q -p -P '' -N secret -f .ssh/cscs-key
				printf '#!/bin/sh\necho secret\n' >agent/ask; chmod +x agent/ask
				SSH_AUTH_SOCK=agent/socket SSH_ASKPASS=$PWD/agent/ask SSH_ASKPASS_REQUIRE=force ssh-add -x`)
			return func() {
				output(t, "alice", "laptop", "sh", "-ec", `SSH_AUTH_SOCK=agent/socket SSH_ASKPASS=$PWD/agent/ask SSH_ASKPASS_REQUIRE=force ssh-add -X
					ssh-keygen -q -p -P secret -N '' -f .ssh/cscs-key`)
			}
		}},
	{name: "state-dir", check: "files", status: "failure", problem: "state-dir", says: []string{"/home/alice/file"}, fix: "unset XDG_STATE_HOME", doctor: []string{"XDG_STATE_HOME=/home/alice/file"},
		harm: func(t *testing.T) func() {
			put(t, laptopHome("file"), "no directory", 0o600)
			return func() {
				_ = os.Remove(laptopHome("file"))
				mkdir(t, laptopHome("file"))
			}
		}},
	{name: "key-missing", check: "key", status: "failure", problem: "key-missing", says: []string{"cscs-key"}, fix: "sign", same: true,
		harm: func(t *testing.T) func() {
			a, b, c := moved(t, ".ssh/cscs-key"), moved(t, ".ssh/cscs-key.pub"), moved(t, ".ssh/cscs-key-cert.pub")
			return func() { a(); b(); c() }
		}},
	{name: "key-half", check: "key", status: "failure", problem: "key-half", says: []string{"cscs-key", "no agent"}, same: true,
		harm: func(t *testing.T) func() { return moved(t, ".ssh/cscs-key") }},
	{name: "key-readable", check: "key", status: "failure", problem: "key-permissions", says: []string{"0644"}, fix: "chmod 600 ", same: true, paste: true,
		harm: func(t *testing.T) func() { mode(t, laptopHome(".ssh/cscs-key"), 0o644); return nil }},
	{name: "key-expired", check: "key", status: "failure", problem: "key-expired", says: []string{"expired"}, fix: "sign", same: true,
		harm: func(t *testing.T) func() { return certified(t, "-2h:-1h") }},
	{name: "key-not-yet-valid", check: "key", status: "failure", problem: "key-not-yet-valid", says: []string{"not valid before"}, fix: "set-ntp", same: true,
		harm: func(t *testing.T) func() { return certified(t, "+1h:+2h") }},
	{name: "key-expires", check: "key", status: "warning", problem: "key-expires", says: []string{"valid only until"}, fix: "sign",
		harm: func(t *testing.T) func() { return certified(t, "+20m") }},
	{name: "key-of-another", check: "key", status: "warning", problem: "key-principal", says: []string{"is for bob"}, fix: "--user bob",
		harm: func(t *testing.T) func() { return certified(t, "--principal", "bob") }, doctor: []string{"--user", "alice"}},
	{name: "key-unfit", check: "key", status: "failure", problem: "key-no-forwarding", says: []string{"does not permit port forwarding"}, fix: "cscs key sign",
		harm: func(t *testing.T) func() {
			put(t, laptopHome(".ssh/cscs-key-cert.pub"), readFile(t, laptopHome(".ssh/cscs-key-cert.pub")), 0o644)
			output(t, "alice", "laptop", "sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f other_ca && ssh-keygen -q -s other_ca -I alice -n alice -O clear -V +1d .ssh/cscs-key.pub && rm other_ca other_ca.pub")
			return func() { tell(t, "cert", "alice") }
		}},
	{name: "agent-gone", check: "agent", status: "warning", problem: "agent", says: []string{"could not open a connection to your authentication agent"}, fix: "eval $(ssh-agent)",
		doctor: []string{"SSH_AUTH_SOCK=/home/alice/agent/socket"}, harm: func(t *testing.T) func() { return func() { agentWith(t, 0) } }},
	{name: "agent-full", check: "agent", status: "warning", problem: "auth-too-many", says: []string{"7 keys", "too many authentication failures"}, fix: "ssh-add -D",
		doctor: []string{"SSH_AUTH_SOCK=/home/alice/agent/socket"}, harm: func(t *testing.T) func() {
			socket := agentWith(t, 7)
			return func() { output(t, "alice", "laptop", "env", "SSH_AUTH_SOCK="+socket, "ssh-add", "-D") }
		}},
	{name: "passphrase", check: "key", status: "warning", problem: "key-passphrase", says: []string{"passphrase", "not given here"}, fix: "cscs key agent",
		doctor: []string{"SSH_AUTH_SOCK=/home/alice/agent/socket"}, harm: func(t *testing.T) func() {
			agentWith(t, 0)
			put(t, laptopHome(".ssh/cscs-key"), readFile(t, laptopHome(".ssh/cscs-key")), 0o600)
			output(t, "alice", "laptop", "ssh-keygen", "-q", "-p", "-N", "secret", "-f", ".ssh/cscs-key")
			return func() {
				output(t, "alice", "laptop", "sh", "-c", `printf '#!/bin/sh\necho secret\n' >agent/ask; chmod +x agent/ask
					SSH_AUTH_SOCK=agent/socket SSH_ASKPASS=$PWD/agent/ask SSH_ASKPASS_REQUIRE=force ssh-add -q -t 1d .ssh/cscs-key`)
			}
		}},
	{name: "port-busy", check: "ports", status: "warning", problem: "port-busy", says: []string{"8888", "in use"}, fix: "--local-port 8889",
		harm: func(t *testing.T) func() { return listening(t, "8888") }},
	{name: "port-needed", check: "ports", status: "failure", problem: "port-busy", says: []string{"6006", "in use"}, fix: "--local-port 6007", doctor: []string{"--local-port", "6006"}, same: true,
		harm: func(t *testing.T) func() { return listening(t, "6006") }},
	{name: "no-browser", check: "browser", status: "warning", problem: "no-browser", says: []string{"browser"}, fix: "--no-browser", doctor: []string{"DISPLAY=", "BROWSER="}, healed: []string{"DISPLAY=", "BROWSER=firefox"},
		harm: func(t *testing.T) func() { return func() {} }},
}

// listening has alice listen on a port of the laptop; mend ends it.
func listening(t *testing.T, port string) func() {
	t.Helper()
	b := start(t, as(t.Context(), "alice", "laptop", "python3", "-u", "-m", "http.server", port, "--bind", "127.0.0.1"))
	b.line("Serving")
	return b.kill
}

var ailmentsOnTheWay = []ailment{
	{name: "no-such-host", check: "names", status: "failure", problem: "no-such-host", says: []string{"ela", "nosuch.example", "no host has this name"}, doctor: []string{withConfig}, same: true,
		harm: func(t *testing.T) func() { return configured(t, "[hosts.ela]\nhost = 'nosuch.example'\n") }},
	{name: "sshd-down", check: "tcp", status: "failure", problem: "connection-refused", says: []string{"ela", "connection refused"}, same: true,
		harm: func(t *testing.T) func() { return stopped(t, "ela", "sshd") }},
	{name: "cut", check: "tcp", status: "failure", problem: "timeout", says: []string{"ela", "no answer"},
		harm: func(t *testing.T) func() { cut(t); return func() { tell(t, "heal") } }},
	{name: "not-ssh", check: "ssh", status: "failure", problem: "not-ssh", says: []string{"does not speak ssh", "Welcome"}, doctor: []string{withConfig}, same: true,
		harm: func(t *testing.T) func() {
			// One that greets in another way.
			server := `import socketserver
class H(socketserver.BaseRequestHandler):
    def handle(self): self.request.sendall(b"Welcome to the printer\r\n" * 60)
class S(socketserver.TCPServer): allow_reuse_address = True
s = S(("", 2222), H); print("up", flush=True); s.serve_forever()`
			start(t, as(t.Context(), "root", "ela", "python3", "-c", server)).line("up")
			return configured(t, "[hosts.ela]\nport = 2222\n")
		}},
	{name: "host-key-unknown", check: "host-key", status: "failure", problem: "host-key-unknown", says: []string{"ela.cscs.ch", "not known"}, fix: "echo ", same: true, paste: true,
		harm: func(t *testing.T) func() {
			knows(t, "")
			return nil
		}},
	{name: "host-key-unknown-here", check: "host-key", status: "failure", problem: "host-key-unknown", says: []string{"ela.cscs.ch", "not known"}, fix: "printf ", same: true, paste: true,
		harm: func(t *testing.T) func() {
			f := strings.Fields(output(t, "root", "daint", "cat", "/etc/ssh/ssh_host_ed25519_key.pub"))
			knows(t, "daint.alps.cscs.ch "+f[0]+" "+f[1]) // its last line does not end
			return nil
		}},
	{name: "host-key-revoked", check: "host-key", status: "failure", problem: "host-key-revoked", says: []string{"is revoked", "known_hosts:1"}, fix: "${EDITOR:-vi} +1 /home/alice/.ssh/known_hosts", same: true,
		harm: func(t *testing.T) func() {
			before := readFile(t, laptopHome(".ssh/known_hosts"))
			f := strings.Fields(output(t, "root", "ela", "cat", "/etc/ssh/ssh_host_ed25519_key.pub"))
			knows(t, "@revoked * "+f[0]+" "+f[1]+"\n"+before)
			return func() { write(t, laptopHome(".ssh/known_hosts"), before) }
		}},
	{name: "host-key-changed", check: "host-key", status: "failure", problem: "host-key-changed", says: []string{"ela.cscs.ch", "has changed"}, fix: "ssh-keygen -f ", same: true,
		harm: func(t *testing.T) func() {
			before := readFile(t, laptopHome(".ssh/known_hosts"))
			other := output(t, "root", "daint", "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
			f := strings.Fields(other)
			knows(t, "ela.cscs.ch "+f[0]+" "+f[1]+"\n")
			return func() { write(t, laptopHome(".ssh/known_hosts"), before) }
		}},
	{name: "known-hosts-bad", check: "host-key", status: "warning", problem: "known-hosts-line", says: []string{"known_hosts:1"}, fix: "+1 ",
		harm: func(t *testing.T) func() {
			before := readFile(t, laptopHome(".ssh/known_hosts"))
			knows(t, "ela.cscs.ch nonsense\n"+before)
			return func() { write(t, laptopHome(".ssh/known_hosts"), before) }
		}},
	{name: "denied", check: "auth", status: "failure", problem: "auth-refused", says: []string{"permission denied by ela for alice"}, fix: "cscs key sign --force", same: true,
		harm: func(t *testing.T) func() {
			// Signed by an authority that nobody trusts.
			put(t, laptopHome(".ssh/cscs-key-cert.pub"), readFile(t, laptopHome(".ssh/cscs-key-cert.pub")), 0o644)
			output(t, "alice", "laptop", "sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f other_ca && ssh-keygen -q -s other_ca -I alice -n alice -V +1d .ssh/cscs-key.pub && rm other_ca other_ca.pub")
			return func() { tell(t, "cert", "alice") }
		}},
	{name: "denied-as-another", check: "auth", status: "failure", problem: "key-principal", says: []string{"permission denied by ela for alice", "is for bob"}, fix: "--user bob", same: true,
		harm: func(t *testing.T) func() { return certified(t, "--principal", "bob") }, doctor: []string{"--user", "alice"}},
	{name: "login-down", check: "login", status: "failure", problem: "hop-refused", says: []string{"ela cannot reach daint"}, same: true,
		harm: func(t *testing.T) func() { return stopped(t, "daint", "sshd") }},
}

// stopped ends a service; mend starts it again.
func stopped(t *testing.T, host, service string) func() {
	t.Helper()
	begin := func() {
		tell(t, "start-service", host, service)
	}
	mended := false
	t.Cleanup(func() {
		if !mended {
			begin()
		}
	})
	tell(t, "stop-service", host, service)
	return func() { mended = true; begin() }
}

// knows sets what alice knows of hosts.
func knows(t *testing.T, text string) {
	t.Helper()
	put(t, laptopHome(".ssh/known_hosts"), text, 0o600)
	known := laptopHome(".ssh/known_hosts")
	if err := os.Chown(known, labctl.AliceUID, labctl.AliceUID); err != nil {
		t.Fatal(err)
	}
}

var ailmentsThere = []ailment{
	{name: "shell-talks", check: "shell", status: "warning", problem: "shell-talks", says: []string{"2 lines", "Welcome back"}, fix: "[[ $- == *i* ]] || return",
		harm: func(t *testing.T) func() {
			rc := clusterHome(".bashrc")
			put(t, rc, "echo Welcome back\necho again\n", 0o644)
			return func() { write(t, rc, "[[ $- == *i* ]] || return\n"+readFile(t, rc)) }
		}},
	{name: "shell-hangs", check: "shell", status: "failure", problem: "remote-hang", says: []string{"asking"}, fix: "[[ $- == *i* ]] || return",
		harm: func(t *testing.T) func() {
			rc := clusterHome(".bashrc")
			put(t, rc, "echo asking somebody\nread -r -t 11 _ <> <(:)\n", 0o644)
			return func() { write(t, rc, "[[ $- == *i* ]] || return\n"+readFile(t, rc)) }
		}},
	{name: "shell-ends", check: "shell", status: "failure", problem: "remote-shell", says: []string{"the login shell ended", "project has ended"}, fix: "[[ $- == *i* ]] || return",
		harm: func(t *testing.T) func() {
			rc := clusterHome(".bashrc")
			put(t, rc, "echo your project has ended\nexit 3\n", 0o644)
			return func() { write(t, rc, "[[ $- == *i* ]] || return\n"+readFile(t, rc)) }
		}},
	{name: "login-shell-ends", check: "shell", status: "failure", problem: "login-shell", says: []string{"ended with status 3", "~/.bash_profile line 1"}, fix: "[[ $- == *i* ]] || return",
		harm: func(t *testing.T) func() {
			profile := clusterHome(".bash_profile")
			put(t, profile, "exit 3\n", 0o644)
			return func() { write(t, profile, "[[ $- == *i* ]] || return\n"+readFile(t, profile)) }
		}},
	{name: "login-shell-hangs", check: "shell", status: "failure", problem: "login-shell", says: []string{"was still in its", "start-up files"}, fix: "[[ $- == *i* ]] || return",
		harm: func(t *testing.T) func() {
			profile := clusterHome(".bash_profile")
			put(t, profile, "sleep 1000\n", 0o644)
			return func() { write(t, profile, "[[ $- == *i* ]] || return\n"+readFile(t, profile)) }
		}},
	{name: "home-full", check: "home", status: "failure", problem: "remote-home", says: []string{"/home/alice", "space"}, fix: "du ",
		harm: func(t *testing.T) func() {
			t.Cleanup(func() { tell(t, "fill-home", "off") })
			tell(t, "fill-home", "on")
			return func() { tell(t, "fill-home", "off") }
		}},
	{name: "home-read-only", check: "home", status: "failure", problem: "remote-home", says: []string{"/home/alice", "read-only"}, fix: "du ",
		harm: func(t *testing.T) func() {
			t.Cleanup(func() { tell(t, "readonly-home", "off") })
			tell(t, "readonly-home", "on")
			return func() { tell(t, "readonly-home", "off") }
		}},
	{name: "slurm-silent", check: "slurm", status: "failure", problem: "slurm-silent", says: []string{"Slurm does not answer"}, fix: "scontrol ping",
		harm: func(t *testing.T) func() { return stopped(t, "ctl", "slurmctld") }},
	{name: "partition-down", check: "partitions", status: "warning", problem: "partition", says: []string{"default partition normal is down"}, fix: "sinfo -s",
		harm: func(t *testing.T) func() {
			if left := poll(patience, func() string { // after a controller that was started anew
				out := output(t, "root", "daint", "sinfo", "-h", "-p", "normal", "-o", "%T")
				return strings.Trim(strings.ReplaceAll(out, "idle", ""), " \n")
			}); left != "" {
				t.Fatalf("nodes are %s", left)
			}
			up := func() { output(t, "root", "ctl", "scontrol", "update", "partition=normal", "state=up") }
			t.Cleanup(up)
			output(t, "root", "ctl", "scontrol", "update", "partition=normal", "state=down")
			return up
		}},
	{name: "logins", check: "sessions", status: "warning", problem: "too-many-logins", says: []string{"1 of at most 1 logins"}, fix: "cscs ps",
		harm: func(t *testing.T) func() {
			limits := lab.Path("daint", "/etc/security/limits.d/logins.conf")
			write(t, limits, "# of this test\n* hard maxlogins 1\n")
			t.Cleanup(func() { _ = os.Remove(limits) })
			return func() { _ = os.Remove(limits) }
		}},
	{name: "node-closed", check: "node", status: "warning", problem: "node-closed", says: []string{"no ssh to " + barred, "connection refused"},
		harm: func(t *testing.T) func() {
			occupy(t, "alice", "-w", barred)
			return stopped(t, barred, "sshd")
		}},
	{name: "node-closed-by-pam", check: "node", status: "warning", problem: "node-closed", says: []string{"no ssh to " + barred, "account"},
		harm: func(t *testing.T) func() {
			occupy(t, "alice", "-w", barred)
			pam := lab.Path(barred, "/etc/pam.d/sshd")
			before := readFile(t, pam)
			pamDenies(t)
			return func() { write(t, pam, before) }
		}},
}
