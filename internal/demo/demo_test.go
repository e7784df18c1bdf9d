package demo

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/owndir"
)

func TestMain(m *testing.M) {
	if code, ok := Helper(); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// TestJudge: whose the listener is, by the rules of slurm/remote/10-listeners.sh.
func TestJudge(t *testing.T) {
	sock := func(addr string, mine bool) listener {
		return listener{addr: netip.MustParseAddrPort(addr), mine: mine, owner: "mallory"}
	}
	for _, c := range []struct {
		name string
		all  []listener
		want string
	}{
		{"none", []listener{sock("127.0.0.1:9", true)}, "none"},
		{"ours", []listener{sock("127.0.0.1:80", true)}, "ours 127.0.0.1"},
		{"ours of IPv6", []listener{sock("[::1]:80", true)}, "ours ::1"},
		{"ours, mapped", []listener{sock("[::ffff:127.0.0.1]:80", true)}, "ours 127.0.0.1"},
		{"foreign", []listener{sock("127.0.0.1:80", false)}, "foreign"},
		{"ours beside a foreign one", []listener{sock("[::1]:80", false), sock("127.0.0.1:80", true)}, "ours 127.0.0.1"},
		{"wide", []listener{sock("127.0.0.1:80", true), sock("0.0.0.0:80", true)}, "wide 127.0.0.1"},
		{"wide of IPv6", []listener{sock("[::]:80", true)}, "wide ::1"},
		{"wide at one address", []listener{sock("192.0.2.1:80", true)}, "wide 192.0.2.1"},
	} {
		v := classifyPort(c.all, 80)
		if got := strings.TrimSpace(v.kind + " " + v.addr); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestParseRequest(t *testing.T) {
	for _, c := range []struct {
		args    string
		want    request
		refusal string
	}{
		{"", request{partition: "normal", limit: time.Hour, nodes: 1}, ""},
		{"--time=30 --partition=debug --nodes=2 --gpus=4", request{partition: "debug", limit: 30 * time.Minute, nodes: 2}, ""},
		{"--nodelist=nid00100[1-2]", request{partition: "normal", limit: time.Hour, nodes: 2, nodelist: nodeNames}, ""},
		{"--begin=now+20", request{partition: "normal", limit: time.Hour, nodes: 1, begin: 20 * time.Second}, ""},
		{"--begin=now+2hours", request{partition: "normal", limit: time.Hour, nodes: 1, begin: 2 * time.Hour}, ""},
		{"--time=UNLIMITED", request{partition: "normal", limit: unlimited, nodes: 1}, ""},
		{"--begin=tomorrow", request{}, "salloc: error: Invalid --begin specification"},
		{"--time=never", request{}, "salloc: error: Invalid --time specification"},
		{"--nodes=3", request{}, "salloc: error: Job submit/allocate failed: Node count specification invalid"},
		{"--partition=x", request{}, "salloc: error: Job submit/allocate failed: Invalid partition name specified"},
		{"--nosuch=1", request{}, "salloc: unrecognized option '--nosuch=1'"},
	} {
		got, refusal := parseRequest("salloc", strings.Fields(c.args))
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(request{})); diff != "" || refusal != c.refusal {
			t.Errorf("%s: %q\n%s", c.args, refusal, diff)
		}
	}
}

// TestQueue: first come, first served; what can never start stands in nobody's way.
func TestQueue(t *testing.T) {
	ctl := newController(nodeNames, func() {})
	ask := func(args string) *job {
		r, refusal := parseRequest("sbatch", strings.Fields(args))
		if refusal != "" {
			t.Fatal(refusal)
		}
		return ctl.submitJob("cscs-x", r, nil)
	}
	states := func(jobs ...*job) string {
		var s []string
		for _, j := range jobs {
			l := ctl.snapshotJob(j)
			s = append(s, l.state+"/"+l.reason)
		}
		return strings.Join(s, " ")
	}
	down, one, two, small := ask("--partition=down"), ask(""), ask("--nodes=2"), ask("")
	if got := states(down, one, two, small); got != "PENDING/PartitionDown RUNNING/None PENDING/Resources PENDING/Priority" {
		t.Error(got)
	}
	if ctl.snapshotJob(two).start.IsZero() {
		t.Error("no estimate, though a job that runs has a limit")
	}
	ctl.endJob(one, "COMPLETED", false)
	if got := states(one, two, small); got != "COMPLETED/None RUNNING/None PENDING/Resources" {
		t.Error(got)
	}
	ctl.endJob(two, "TIMEOUT", false)
	if got := states(two, small); got != "TIMEOUT/None RUNNING/None" {
		t.Error(got)
	}
	if got := states(ask("--partition=debug --time=31")); got != "PENDING/PartitionTimeLimit" {
		t.Error(got)
	}
	ctl.cancelAll()
	if ctl.hasJobs() {
		t.Errorf("still there: %s", ctl.formatQueue())
	}
}

// TestPageIsSelfContained: it fetches nothing from anywhere, and has a form for dark screens,
// narrow ones and readers that do not see it.
func TestPageIsSelfContained(t *testing.T) {
	html := string(pageHTML)
	if m := regexp.MustCompile(`(?i)(https?:)?//[a-z]|\b(src|href)=|@import|url\(`).FindString(html); m != "" {
		t.Errorf("it refers to something: %q", m)
	}
	for _, want := range []string{`lang="en"`, "prefers-color-scheme: dark", "width=device-width", "aria-live", `scope="col"`, "<title>"} {
		if !strings.Contains(html, want) {
			t.Errorf("it lacks %s", want)
		}
	}
}

func TestPage(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	line := `{"time":"2026-01-02T03:04:05Z","host":"ela","what":"<b>"}` + "\n"
	if err := os.WriteFile(journal, []byte(line+line[:10]), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newPage(journal)
	get := func(path, host, agent string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Host = host
		r.Header.Set("User-Agent", agent)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for host, code := range map[string]int{
		"127.0.0.1:8888": 200, "localhost:8888": 200, "[::1]:8888": 200, "evil.example": 421, "evil.example:8888": 421, "127.0.0.1.evil.example": 421, "": 421,
	} {
		if w := get("/", host, "curl"); w.Code != code || w.Code == 200 && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("Host %q: %d, want %d", host, w.Code, code)
		}
	}
	steps := func() []step {
		var told pageData
		if err := json.Unmarshal(get("/steps", "127.0.0.1", "curl").Body.Bytes(), &told); err != nil {
			t.Fatal(err)
		}
		return told.Steps
	}
	if got := steps(); len(got) != 1 || got[0].Host != "ela" || got[0].What != "<b>" {
		t.Errorf("steps: %+v", got)
	}
	get("/", "127.0.0.1", "Mozilla/5.0")
	if got := steps(); len(got) != 2 || got[1].Host != "laptop" {
		t.Errorf("after a browser has asked: %+v", got)
	}
	if w := get("/etc/passwd", "127.0.0.1", ""); w.Code != 404 {
		t.Errorf("another path: %d", w.Code)
	}
}

// TestLogKeepsTheNewest: a server that floods loses what is oldest.
func TestLogKeepsTheNewest(t *testing.T) {
	dir := t.TempDir()
	l, err := newServerLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	block := make([]byte, 1<<20)
	for i := range 70 {
		for j := range block {
			block[j] = byte(i)
		}
		_, _ = l.Write(block)
	}
	text, total := l.readSince(0)
	if total != 70<<20 || len(text) != 38<<20 || text[0] != 32 || text[len(text)-1] != 69 {
		t.Errorf("%d bytes of %d, from %d to %d", len(text), total, text[0], text[len(text)-1])
	}
	if text, _ := l.readSince(total - 5); len(text) != 5 {
		t.Errorf("%d bytes, of the last 5", len(text))
	}
}

func TestLogsLastLines(t *testing.T) {
	for _, c := range []struct {
		text string
		last int
		want string
	}{
		{"", 2, ""}, {"a\n", 2, "a\n"}, {"a\nb\nc\n", 2, "b\nc\n"}, {"a\nb\nc", 2, "b\nc"}, {"a\nb\n", 2, "a\nb\n"}, {"\n\n\n", 1, "\n"},
	} {
		l, err := newServerLog(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = l.Write([]byte(c.text))
		if got, _ := l.readSince(l.lastLinesOffset(c.last)); string(got) != c.want {
			t.Errorf("the last %d lines of %q: %q", c.last, c.text, got)
		}
		l.close()
	}
}

// TestPlaceTaken: one process at a time is the cluster of a place; what one that was killed
// has left is tidied away, and an end leaves nothing.
func TestPlaceTaken(t *testing.T) {
	p := Place{Dir: filepath.Join(t.TempDir(), "cscs", "demo")}
	if err := os.MkdirAll(filepath.Join(p.Dir, "home", "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, stop, err := p.Serve()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(p.Dir, "home", "old")); err == nil {
		t.Error("what was left is still there")
	}
	if _, _, err := p.Serve(); !errors.Is(err, errTaken) {
		t.Errorf("a second cluster at the same place: %v", err)
	}
	v, err := p.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keyFile, clusterFile, knownHostsFile, doorFile, lockFile} {
		if info, err := os.Stat(p.filePath(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if word := greetingLine(); len(word) < 20 || !strings.HasPrefix(word, greetingPrefix) {
		t.Errorf("welcome: %q", word)
	}
	if v.Fresh || !v.Leave(t.Context()) {
		t.Error("one visitor has taken another's cluster for its own")
	}
	stop()
	if _, err := os.Stat(filepath.Dir(p.Dir)); err == nil {
		t.Error("something is left")
	}
}

// TestPlaceOfAnotherVersion is told, and not joined.
func TestPlaceOfAnotherVersion(t *testing.T) {
	p := Place{Dir: t.TempDir()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, _ = conn.Write([]byte(greetingPrefix + "0123456789abcdef\n"))
			_, _ = io.Copy(io.Discard, conn) // until the visitor goes
			_ = conn.Close()
		}
	}()
	if err := os.WriteFile(p.filePath(doorFile), []byte(l.Addr().String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(p.filePath(lockFile))
	if ok, err := lock.TryLock(); !ok {
		t.Fatal(err)
	}
	defer lock.Close()
	var other *OtherVersionError
	if _, err := p.Enter(t.Context()); !errors.As(err, &other) {
		t.Errorf("got %v", err)
	}
}

// TestPlaceOfAnother is refused: a directory in which others could put files.
func TestPlaceOfAnother(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (Place{Dir: dir}).Serve(); !errors.Is(err, owndir.ErrShared) {
		t.Errorf("others could write to it: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it is used: %v, %v", left, err)
	}
}

// The last lines are those that the remote half shows (slurm/remote/67-log.sh, by head -n -N).
func TestLastLines(t *testing.T) {
	for _, tt := range []struct {
		text string
		n    int
		want string
	}{
		{"one\ntwo\nthree\nfou", 2, "three\nfou"},
		{"one\ntwo\nthree\n", 2, "two\nthree\n"},
		{"one\ntwo\n", 2, "one\ntwo\n"},
		{"one\ntwo\n", 9, "one\ntwo\n"},
		{"one", 1, "one"},
		{"", 3, ""},
	} {
		if got := string(lastLines([]byte(tt.text), tt.n)); got != tt.want {
			t.Errorf("%q, %d: %q, want %q", tt.text, tt.n, got, tt.want)
		}
	}
}
