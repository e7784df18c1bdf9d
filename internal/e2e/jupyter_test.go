//go:build lab

package e2e

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestJupyterInChromium: the one-use link that the browser is opened with
// leads into JupyterLab; a kernel starts and a cell is executed. The kernel
// speaks through a websocket, so this is also the test of those.
func TestJupyterInChromium(t *testing.T) {
	for _, d := range distances {
		t.Run("rtt="+d.String(), func(t *testing.T) {
			begin(t)
			rtt(t, d)
			dir := mkdir(t, clusterHome("notebooks"))
			put(t, dir+"/one.ipynb", notebook, 0o644)
			link := xdgOpen(t)
			m := link.terminal(t, "run-jupyter", "--cluster", "daint", "--venv", lab.Env["LAB_VENV"], "--workdir", "notebooks")
			b := chromium(t)
			url := link.wait(t)
			b.do("open the link", chromedp.Navigate(url))
			b.do("see JupyterLab", chromedp.WaitVisible(chromedp.CSS(`#jp-main-dock-panel`)))
			b.runsNotebook()
			m.send(ctrlC)
			if code := m.exit(patience); code != 0 {
				t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
			}
		})
	}
}

// runFirstCell gives what the first cell of the notebook prints first. JupyterLab shows the button,
// and the kernel as idle, before either answers: a click may be lost, or have selected the next
// cell and run nothing.
func (w window) runFirstCell() string {
	w.t.Helper()
	return w.textAfter("run the cell", `.jp-OutputArea-output pre`,
		chromedp.Click(chromedp.CSS(`.jp-Notebook .jp-Cell .jp-InputArea-editor`)),
		chromedp.Click(chromedp.CSS(`.jp-NotebookPanel-toolbar [data-command="notebook:run-cell-and-select-next"]`)))
}

const notebook = `{"cells":[{"cell_type":"code","execution_count":null,"id":"a","metadata":{},"outputs":[],
"source":["import socket\n","print(6 * 7, 'on', socket.gethostname())"]}],
"metadata":{"kernelspec":{"display_name":"Python 3 (ipykernel)","language":"python","name":"python3"}},
"nbformat":4,"nbformat_minor":5}
`

// TestJupyterNeedsItsToken: without the token there is nothing to see, by
// whatever way the server is asked.
func TestJupyterNeedsItsToken(t *testing.T) {
	begin(t)
	s := cscs(t, "run-jupyter", "--venv", lab.Env["LAB_VENV"])
	e := s.ready()
	token := jupyterToken(t)
	base := serverURL(e)
	if code, _ := get(t, base+"/api/contents"); code != http.StatusForbidden {
		t.Errorf("without the token: %d", code)
	}
	if code, _ := get(t, base+"/api/contents?token="+token+"x"); code != http.StatusForbidden {
		t.Errorf("with a wrong token: %d", code)
	}
	if code, _ := get(t, base+"/api/contents?token="+token); code != http.StatusOK {
		t.Errorf("with the token: %d", code)
	}
	if strings.Contains(e.URL, token) {
		t.Error("the token is in the event")
	}
	closeReady(t, s)
}

// serverURL is where Jupyter's API begins; the event has the page of the lab.
func serverURL(ready event) string {
	return strings.TrimSuffix(strings.TrimRight(ready.URL, "/"), "/lab")
}

// jupyterToken reads the token of alice's running server as root can.
func jupyterToken(t *testing.T) string {
	t.Helper()
	token := readFile(t, clusterHome(sessionDir(t), "token"))
	if len(token) < 32 || strings.TrimSpace(token) != token {
		t.Errorf("the token has %d characters, or white space around them", len(token))
	}
	return token
}

// sessionDir is the directory of alice's only session with a token, relative to her home on the
// cluster.
func sessionDir(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(clusterHome(".cscs/*/*/token"))
	if err != nil || len(found) != 1 {
		t.Fatalf("sessions with a token: %q, %v", found, err)
	}
	dir, err := filepath.Rel(clusterHome(), filepath.Dir(found[0]))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// pathOf is the path of a URL.
func pathOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}

// TestJupyterArguments: what comes after "--" reaches Jupyter.
func TestJupyterArguments(t *testing.T) {
	begin(t)
	mkdir(t, clusterHome("elsewhere"))
	put(t, clusterHome("elsewhere/here.txt"), "x", 0o644)
	s := cscs(t, "run-jupyter", "--venv", lab.Env["LAB_VENV"], "--", "--ServerApp.root_dir=elsewhere")
	url := serverURL(s.ready())
	if code, body := get(t, url+"/api/contents?token="+jupyterToken(t)); code != http.StatusOK || !strings.Contains(body, "here.txt") {
		t.Errorf("%d %s", code, body)
	}
	closeReady(t, s)
}

// TestJupyterMissing: a node without Jupyter gets one line that says so, and what
// brings it there.
func TestJupyterMissing(t *testing.T) {
	begin(t)
	s := cscs(t, "run-jupyter", "--nodelist", "nid001001")
	e := s.failure(5, "server-setup")
	if !strings.HasPrefix(e.Message, "jupyter was not found on nid001001 (PATH=/") {
		t.Errorf("it says %q", e.Message)
	}
	if want := "if it is installed there, make it available with --venv DIR, --setup 'module load …' or --uenv NAME; if not, --bootstrap installs it once, in a virtual environment in your home"; e.Hint != want {
		t.Errorf("the hint is %q, want %q", e.Hint, want)
	}
}
