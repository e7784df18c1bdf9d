//go:build lab

package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// unused waits for the end of a session that nobody uses, and holds it to what it must say.
// It gives the warning.
func unused(t *testing.T, s *session, limit string) event {
	t.Helper()
	warning := s.wait("warning")
	if warning.Ends == "" {
		t.Errorf("warned %+v", warning)
	}
	if e := s.wait("ending"); e.Reason != "idle for "+limit {
		t.Errorf("it ends: %q", e.Reason)
	}
	g, _ := s.find("granted")
	if e := s.end(0); e.Reason != "idle for "+limit+": job "+g.Job+" has ended" {
		t.Errorf("it ended: %q", e.Reason)
	}
	if state := jobState(t, g.Job); state != "" && state != "COMPLETING" {
		t.Errorf("cscs ended, and job %s is %s", g.Job, state)
	}
	return warning
}

// TestIdle: a session whose server is used goes on for longer than --idle, and ends when it
// is not used for that long.
func TestIdle(t *testing.T) {
	begin(t)
	s := cscs(t, "CSCS_IDLE_FLOOR=5s", "run", "--idle", "8s", "--", lab.testserver, "127.0.0.1:{port}")
	ready := s.ready()
	var used time.Time
	for tick := time.NewTicker(time.Second); time.Since(ready.Time) < 12*time.Second; <-tick.C {
		used = time.Now()
		if _, body := get(t, ready.URL); !strings.HasPrefix(body, "alice") {
			t.Fatalf("it is used, and after %v: %s", time.Since(ready.Time), body)
		}
	}
	warning := unused(t, s, "8s")
	if d := warning.Time.Sub(used); d < 3*time.Second || d > 10*time.Second {
		t.Errorf("warned %v after the last use", d)
	}
	says(t, warning.Message, "not used for", "the session ends in 4s", "use it to keep it")
}

// TestIdleOverLoss: while the line is cut nobody can use the server, or be warned: the session
// is there when the line is, and warns first.
func TestIdleOverLoss(t *testing.T) {
	begin(t)
	s := cscs(t, "CSCS_IDLE_FLOOR=5s", "run", "--idle", "30s", "--", lab.testserver, "127.0.0.1:{port}")
	s.ready()
	cut(t)
	lost := s.stdout.await(2*patience, func(text string) string { return lineWith(text, `"lost"`) })
	if lost == "" {
		t.Fatalf("never lost: %s", s.stdout)
	}
	tell(t, "heal")
	s.wait("restored")
	restored := time.Now()
	for _, e := range s.events() {
		if e.Event == "ending" {
			t.Fatalf("it ends without a connection: %s", s.stdout)
		}
	}
	unused(t, s, "30s")
	if d := time.Since(restored); d < 15*time.Second {
		t.Errorf("it ended %v after the line was back", d)
	}
}

// busyNotebook computes for longer than the test's limit.
const busyNotebook = `{"cells":[{"cell_type":"code","execution_count":null,"id":"a","metadata":{},"outputs":[],
"source":["import time\n","print('busy', flush=True)\n","time.sleep(85)\n","print('computed')"]}],
"metadata":{"kernelspec":{"display_name":"Python 3 (ipykernel)","language":"python","name":"python3"}},
"nbformat":4,"nbformat_minor":5}
`

// TestIdleJupyter: a kernel that computes is use, for longer than the limit; an open tab that
// nobody touches is none, though it asks the server for lists all the time.
func TestIdleJupyter(t *testing.T) {
	begin(t)
	dir := mkdir(t, clusterHome("notebooks"))
	put(t, dir+"/busy.ipynb", busyNotebook, 0o644)
	s := cscs(t, "CSCS_IDLE_FLOOR=5s", "run-jupyter", "--idle", "75s", "--venv", lab.Env["LAB_VENV"], "--workdir", "notebooks")
	ready := s.ready()
	token, api := jupyterToken(t), serverURL(ready)
	b := chromium(t)
	b.do("open the notebook", chromedp.Navigate(api+"/lab/tree/busy.ipynb?token="+token))
	b.do("see its cell", chromedp.WaitVisible(chromedp.CSS(`.jp-Notebook .jp-Cell`)))
	b.do("wait for the kernel", chromedp.WaitVisible(chromedp.CSS(`.jp-NotebookPanel [data-status="idle"], .jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status="idle"]`)))
	b.runFirstCell()
	started := time.Now()
	b.do("see its result", chromedp.WaitVisible(`//pre[contains(text(), "computed")]`))
	if d := time.Since(started); d < 70*time.Second {
		t.Errorf("the kernel computed for %v only", d)
	}
	for _, e := range s.events() {
		// Before that a loaded machine may have taken its time to show the notebook.
		if e.Event == "warning" && e.Time.After(started) {
			t.Errorf("it warned while the kernel computed: %s", s.stdout)
		}
	}
	s.next = len(s.events())

	if _, ok := s.await(2*patience, "warning"); !ok {
		t.Fatalf("no warning: %s", s.stdout)
	}
	s.next-- // for unused
	if fresh := apiActivity(t, api, token); time.Since(fresh) > 60*time.Second {
		t.Errorf("the tab asked for nothing since %v: this test shows nothing", fresh)
	}
	warning := unused(t, s, "1m15s")
	says(t, warning.Message, "run a cell, type in a terminal or save a file to keep it")
}

// apiActivity is Jupyter's own idea of the last activity.
func apiActivity(t *testing.T, api, token string) time.Time {
	t.Helper()
	var status struct {
		Last time.Time `json:"last_activity"`
	}
	code, body := get(t, api+"/api/status?token="+token)
	if code != http.StatusOK {
		t.Fatalf("GET /api/status: %d %s", code, body)
	}
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatal(err)
	}
	return status.Last
}
