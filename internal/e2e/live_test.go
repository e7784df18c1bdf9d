//go:build lab

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listed is a line of cscs ps --json.
type listed struct {
	V        int      `json:"v"`
	ID       string   `json:"id"`
	App      string   `json:"app"`
	Cluster  string   `json:"cluster"`
	State    string   `json:"state"`
	Reason   string   `json:"reason"`
	Job      string   `json:"job"`
	Node     string   `json:"node"`
	URL      string   `json:"url"`
	Begun    string   `json:"begun"`
	Ends     string   `json:"ends"`
	Start    string   `json:"start"`
	AsOf     string   `json:"as_of"`
	Left     int      `json:"left"`
	Attached []string `json:"attached"`
}

// another is the environment of a second laptop of alice's: the same keys, no records.
var another = "XDG_STATE_HOME=/tmp/another"

// cmd is cscs ARGS as alice on the laptop; VAR=VALUE words may come first.
func cmd(t *testing.T, words ...string) (string, error) {
	t.Helper()
	var env []string
	for len(words) > 0 && strings.Contains(words[0], "=") {
		env, words = append(env, words[0]), words[1:]
	}
	return try(t, "alice", "laptop", append(append(env, lab.bin), words...)...)
}

func mustCmd(t *testing.T, words ...string) string {
	t.Helper()
	out, err := cmd(t, words...)
	if err != nil {
		t.Fatalf("cscs %q: %v\n%s", words, err, out)
	}
	return out
}

func ps(t *testing.T, words ...string) []listed {
	t.Helper()
	i := 0
	for i < len(words) && strings.Contains(words[i], "=") {
		i++
	}
	words = append(append(append([]string(nil), words[:i]...), "ps", "--json"), words[i:]...)
	var rows []listed
	for line := range strings.Lines(mustCmd(t, words...)) {
		var r listed
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil {
			t.Fatalf("cscs ps --json: %q: %v", line, err)
		}
		rows = append(rows, r)
	}
	return rows
}

// TestLiveSession is seen, opened, read and stopped from another terminal.
func TestLiveSession(t *testing.T) {
	begin(t)
	s := cscs(t, "run", "--protect=false", "--", "python3", "-u", "-m", "http.server", "{port}", "--bind", "127.0.0.1")
	ready := s.ready()
	granted, _ := s.find("granted")

	cut := time.Now()
	rows := ps(t)
	if d := time.Since(cut); d > time.Second {
		t.Errorf("cscs ps took %v", d)
	}
	if len(rows) != 1 || rows[0].ID != ready.Session || rows[0].State != "ready" || rows[0].Job != granted.Job || rows[0].URL != ready.URL ||
		rows[0].Node != granted.Node || rows[0].App != "run" || rows[0].Cluster != "daint" || rows[0].Left < 60 || len(rows[0].Attached) != 1 {
		t.Errorf("cscs ps: %+v", rows)
	}
	says(t, mustCmd(t, "ps"), ready.Session, "ready", ready.URL, granted.Node)
	says(t, mustCmd(t, "open", "--no-browser"), ready.URL)
	says(t, mustCmd(t, "logs", ready.Session[:3]), "Serving HTTP")
	refreshed := ps(t, "--refresh")
	if len(refreshed) != 1 || refreshed[0].ID != ready.Session || refreshed[0].Job != granted.Job || refreshed[0].State != "ready" {
		t.Errorf("cscs ps --refresh: %+v", refreshed)
	}
	found := ps(t, another, "--refresh", "--cluster", "daint")
	if len(found) != 1 || found[0].ID != ready.Session || found[0].Node != granted.Node || found[0].App != "run" ||
		len(found[0].Attached) != 1 || !strings.HasPrefix(found[0].Attached[0], "alice@laptop (pid ") {
		t.Errorf("on another laptop: %+v", found)
	}

	follow := start(t, as(context.Background(), "alice", "laptop", lab.bin, "logs", "-f"))
	follow.line("Serving HTTP")
	out := mustCmd(t, "stop", "--all")
	says(t, out, ready.Session, granted.Job)
	if strings.Contains(out, "elsewhere") {
		t.Errorf("it was stopped here: %s", out)
	}
	if e := s.end(0); !strings.Contains(e.Reason, "stopped from elsewhere") {
		t.Errorf("ended: %q", e.Reason)
	}
	if e, _ := s.find("ending"); !strings.Contains(e.Reason, "stopped from elsewhere") {
		t.Errorf("ending: %q", e.Reason)
	}
	follow.exit(patience)
	if rows := ps(t); len(rows) != 0 {
		t.Errorf("afterwards: %+v", rows)
	}
	says(t, mustCmd(t, "ps"), "no live session", ready.Session+" ended", "job "+granted.Job)
	says(t, mustCmd(t, "ps", "--ended", "--json"), `"id":"`+ready.Session+`"`, `"job":"`+granted.Job+`"`, `"code":0`)
	says(t, mustCmd(t, "logs", ready.Session), "Serving HTTP")
}

// TestLiveKilledClient: its session is seen, and can be ended, without it.
func TestLiveKilledClient(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	ready := s.ready()
	for _, p := range userProcesses() {
		if p.host == "laptop" && strings.HasPrefix(p.cmdline, lab.bin+" run") {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	s.exit(patience)
	rows := ps(t)
	if len(rows) != 1 || rows[0].State != "unattended" || len(rows[0].Attached) != 0 || rows[0].URL != "" {
		t.Errorf("cscs ps: %+v", rows)
	}
	if out, err := cmd(t, "open"); err == nil {
		t.Errorf("opened: %s", out)
	}
	mustCmd(t, "stop", ready.Session[:4])
	if left := squeue("COMPLETING"); left != "" {
		t.Errorf("still there: %s", left)
	}
	if rows := ps(t); len(rows) != 0 {
		t.Errorf("afterwards: %+v", rows)
	}
}

// TestLiveStoppedClient (Ctrl-Z): its session cannot be opened, which is said at once; it can
// be stopped without it, and when it goes on, it ends, too.
func TestLiveStoppedClient(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	id := s.ready().Session
	granted, _ := s.find("granted")
	pid := clientProcess(t)
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	asked := time.Now()
	out, err := cmd(t, "open", "--no-browser")
	if err == nil {
		t.Errorf("opened: %s", out)
	}
	says(t, out, id, "fg in its terminal", "cscs stop "+id)
	says(t, mustCmd(t, "stop"), id, "ending the session directly", "goes on (fg")
	if d := time.Since(asked); d > patience {
		t.Errorf("it took %v", d)
	}
	if state := jobState(t, granted.Job); state != "" && state != "COMPLETING" {
		t.Errorf("stopped, and the job is %s", state)
	}
	_ = syscall.Kill(pid, syscall.SIGCONT)
	s.signal(syscall.SIGCONT) // what stands for it here has stopped with it
	says(t, s.end(0).Reason, "stopped from elsewhere")
}

// TestLiveCertificateExpires while the line is cut: it is said at once, with what to do,
// and when there is a new one, the session goes on by itself.
func TestLiveCertificateExpires(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	ready := s.ready()
	cut(t)
	certificate(t, "-2h:-1h")
	// The old connection shall not be there any more when the line is healed.
	for _, p := range userProcesses() {
		if p.host == "ela" {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	}
	s.wait("lost")
	warning := s.wait("warning")
	says(t, warning.Message, "expired", "sign")
	tell(t, "heal")
	if e, ok := s.await(5*time.Second, "restored", "ended"); ok {
		t.Errorf("%s with an expired certificate", e.Event)
	}
	tell(t, "cert", "alice")
	began := time.Now()
	s.wait("restored")
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %v to notice the new certificate", d)
	}
	if left := poll(20*time.Second, func() string {
		if code, body := get(t, ready.URL); code != 200 {
			return body
		}
		return ""
	}); left != "" {
		t.Errorf("the URL does not answer: %s", left)
	}
	s.signal(syscall.SIGINT)
	s.end(0)
}

// attach picks the session up, in the environment given.
func attach(t *testing.T, env []string, args ...string) *session {
	t.Helper()
	argv := append(append(append([]string(nil), env...), lab.bin, "attach", "--json", "--no-browser"), args...)
	return &session{background: start(t, as(context.Background(), "alice", "laptop", argv...))}
}

func answers(t *testing.T, url string) {
	t.Helper()
	if code, body := get(t, url); code != 200 {
		t.Errorf("%s: %d %s", url, code, body)
	}
}

// TestLiveAttach: two laptops attend one session; one goes, the other does not notice; the
// last one goes, and the job goes on; the first comes back, from another terminal.
func TestLiveAttach(t *testing.T) {
	begin(t)
	first := serve(t, nil)
	ready := first.ready()
	second := attach(t, []string{another}, ready.Session[:4], "--cluster", "daint")
	there := second.ready()
	if there.Session != ready.Session || there.Remote != ready.Remote || there.LocalPort == ready.LocalPort {
		t.Errorf("attached: %+v, begun: %+v", there, ready)
	}
	answers(t, ready.URL)
	answers(t, there.URL)
	if rows := ps(t, another); len(rows) != 1 || rows[0].State != "ready" || rows[0].URL != there.URL {
		t.Errorf("cscs ps of the second: %+v", rows)
	}

	says(t, mustCmd(t, "detach"), "detached", ready.Session)
	e := first.end(0)
	// One hour, as its lease, which begins now.
	says(t, e.Reason, "detached", "until its time limit")
	if d, ok := first.find("detached"); !ok || d.Session != ready.Session {
		t.Error("no event detached")
	}
	if rows := ps(t); len(rows) != 1 || rows[0].State != "detached" {
		t.Errorf("cscs ps: %+v", rows)
	}
	answers(t, there.URL)

	second.signal(syscall.SIGINT)
	says(t, second.end(0).Reason, "detached")
	if left := squeue(""); !strings.Contains(left, "RUNNING") {
		t.Errorf("detached, and the job is gone: %q", left)
	}

	again := attach(t, nil)
	back := again.ready()
	answers(t, back.URL)
	if rows := ps(t); len(rows) != 1 || rows[0].State != "ready" || rows[0].URL != back.URL || len(rows[0].Attached) != 1 {
		t.Errorf("cscs ps after it was picked up: %+v", rows)
	}
	mustCmd(t, "stop")
	again.end(0)
	if rows := ps(t); len(rows) != 0 {
		t.Errorf("afterwards: %+v", rows)
	}
	if rows := ps(t, another, "--refresh", "--cluster", "daint"); len(rows) != 0 {
		t.Errorf("afterwards, on the second: %+v", rows)
	}
}

// TestLiveClosedTerminal leaves the session to its lease, and the record says so.
func TestLiveClosedTerminal(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	ready := s.ready()
	s.signal(syscall.SIGHUP)
	says(t, s.end(0).Reason, "detached")
	rows := ps(t, "--refresh")
	if len(rows) != 1 || rows[0].ID != ready.Session || rows[0].State != "detached" {
		t.Errorf("cscs ps: %+v", rows)
	}
	again := attach(t, nil)
	answers(t, again.ready().URL)
	again.signal(syscall.SIGHUP)
	again.end(0)
	mustCmd(t, "stop")
}

// TestLiveDetached returns when the job is queued; it starts by itself, and is picked up.
func TestLiveDetached(t *testing.T) {
	begin(t)
	settle(t)
	jobs := occupy(t, "mallory", "-N", "3", "--exclusive")
	s := serve(t, []string{"--detach"})
	e := s.end(0)
	says(t, e.Reason, "detached", "waits in the queue")
	if q, ok := s.find("queued"); !ok || q.Job == "" {
		t.Error("no event queued")
	}
	rows := ps(t)
	if len(rows) != 1 || rows[0].State != "queued" || rows[0].Reason == "" || rows[0].AsOf == "" {
		t.Errorf("cscs ps: %+v", rows)
	}
	// Slurm expects it to start when the other job reaches its time limit.
	if rows := ps(t, "--refresh"); len(rows) != 1 || rows[0].State != "queued" || rows[0].Reason == "" || rows[0].AsOf != "" {
		t.Errorf("cscs ps --refresh: %+v", rows)
	}
	says(t, mustCmd(t, "logs", e.Session), "session "+e.Session+" is queued")
	waiting := attach(t, nil)
	waiting.wait("queued")
	cancelJob(t, jobs)
	answers(t, waiting.ready().URL)
	waiting.signal(syscall.SIGINT)
	waiting.end(0)
	mustCmd(t, "stop", "--all")
	if left := squeue("COMPLETING"); left != "" {
		t.Errorf("left: %s", left)
	}
}

// TestLiveStoppedFromAnotherLaptop ends everywhere, with 0. Before, everybody who attends the
// session is listed, here and there.
func TestLiveStoppedFromAnotherLaptop(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	id := s.ready().Session
	elsewhere := attach(t, []string{another}, id, "--cluster", "daint")
	elsewhere.ready()
	beside := attach(t, nil, id)
	beside.ready()
	here := func(rows []listed, want int) {
		t.Helper()
		if len(rows) != 1 || len(rows[0].Attached) < 2 {
			t.Errorf("listed %+v", rows)
			return
		}
		for i, a := range rows[0].Attached {
			if prefix := map[bool]string{true: "here (pid ", false: "alice@laptop (pid "}[i < 2]; len(rows[0].Attached) != want || !strings.HasPrefix(a, prefix) {
				t.Errorf("attached %q", rows[0].Attached)
			}
		}
	}
	here(ps(t), 2)
	here(ps(t, "--refresh"), 3)
	mustCmd(t, another, "stop", id)
	elsewhere.end(0)
	beside.end(0)
	says(t, s.end(0).Reason, "stopped from elsewhere")
}

// TestLiveEndedByItsLease, with nobody there: how it ended, and its log, can be seen from any
// machine, and brought home.
func TestLiveEndedByItsLease(t *testing.T) {
	begin(t)
	s := cscs(t, floor, "run", "--lease", "5s", "--", "python3", "-u", "-m", "http.server", "{port}", "--bind", "127.0.0.1")
	id := s.ready().Session
	_ = syscall.Kill(clientProcess(t), syscall.SIGKILL)
	s.exit(patience)
	if left := poll(patience, func() string { return squeue("COMPLETING") }); left != "" {
		t.Fatalf("its lease is over, and there is %s", left)
	}
	mustCmd(t, "ps", "--refresh") // which sees that it has ended
	says(t, mustCmd(t, "ps", "--ended"), id, "the lease of 5 s")
	for _, where := range []string{"XDG_STATE_HOME=", another} {
		out, err := cmd(t, where, "attach", id[:5], "--cluster", "daint")
		if err == nil {
			t.Errorf("attached: %s", out)
		}
		says(t, out, "session "+id+" on daint has ended: the lease of 5 s", "cscs logs "+id+" --cluster daint")
	}
	says(t, mustCmd(t, another, "logs", id[:5], "--cluster", "daint"), "Serving HTTP")
	says(t, mustCmd(t, another, "stop", id[:5], "--cluster", "daint"), "ended before")
	says(t, mustCmd(t, another, "logs", id), "Serving HTTP")
	mustCmd(t, "stop", "--all")
}

// TestLiveAttachToNothing says so.
func TestLiveAttachToNothing(t *testing.T) {
	begin(t)
	for _, args := range [][]string{{"attach"}, {"attach", "nothere"}, {"attach", "nothere", "--cluster", "daint"}} {
		out, err := cmd(t, args...)
		if err == nil {
			t.Errorf("cscs %q: %s", args, out)
		}
		says(t, out, "no live session")
	}
}

// TestLiveCannotAsk: that there is no session is not said of a cluster that could not be asked.
func TestLiveCannotAsk(t *testing.T) {
	begin(t)
	certificate(t, "-2h:-1h")
	out, err := cmd(t, "ps", "--refresh", "--cluster", "daint")
	if err == nil || strings.Contains(out, "no live session") {
		t.Errorf("%v: %s", err, out)
	}
	says(t, out, "the key has expired")
}

// logins counts alice's connections to ela.
func logins() (n int) {
	eachProcess(func(p process) {
		if p.host == "ela" && strings.HasPrefix(p.cmdline, "sshd") && strings.Contains(p.cmdline, "alice [priv]") {
			n++
		}
	})
	return n
}

// TestLiveSharedChain: three sessions and the commands beside them are one login, which is
// handed on when the process that made it ends, killed or not.
func TestLiveSharedChain(t *testing.T) {
	begin(t)
	first, second, third := serve(t, nil), serve(t, nil), serve(t, nil)
	sessions := []*session{first, second, third}
	var urls []string
	for _, s := range sessions {
		urls = append(urls, s.ready().URL)
	}
	if n := logins(); n != 1 {
		t.Errorf("%d logins for three sessions", n)
	}
	mustCmd(t, "ps", "--refresh")
	if n := logins(); n != 1 {
		t.Errorf("%d logins after cscs ps --refresh", n)
	}
	// Whoever is the owner: each ends in its turn, the first as asked, the second killed.
	first.signal(syscall.SIGINT)
	first.end(0)
	for _, url := range urls[1:] {
		answers(t, url)
	}
	id := second.events()[0].Session
	for _, r := range ps(t) {
		if r.ID == id {
			var pid int
			if _, err := fmt.Sscanf(r.Attached[0], "here (pid %d)", &pid); err != nil {
				t.Fatal(err)
			}
			_, _ = try(t, "alice", "laptop", "kill", "-9", strconv.Itoa(pid))
		}
	}
	second.exit(patience)
	if left := poll(20*time.Second, func() string {
		if code, body := get(t, urls[2]); code != 200 {
			return body
		}
		return ""
	}); left != "" {
		t.Errorf("the third does not answer: %s", left)
	}
	if n := logins(); n != 1 {
		t.Errorf("%d logins when one session is left", n)
	}
	mustCmd(t, "stop", "--all")
	third.end(0)
}
