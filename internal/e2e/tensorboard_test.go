//go:build lab

package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestTensorBoardInChromium: a run that was written on the cluster is shown.
func TestTensorBoardInChromium(t *testing.T) {
	begin(t)
	writeRun(t, "runs", "some/loss")
	link := xdgOpen(t)
	m := link.terminal(t, "run-tensorboard", "--cluster", "daint", "--venv", lab.Env["LAB_VENV"], "--logdir", "runs")
	b := chromium(t)
	b.do("open the link", chromedp.Navigate(link.wait(t)))
	b.do("see the run's tag", chromedp.WaitVisible(`//*[contains(text(), "some/loss") or contains(text(), "loss")]`))
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
}

// TestTensorBoardNewRun: what is written while it is watched appears.
func TestTensorBoardNewRun(t *testing.T) {
	begin(t)
	writeRun(t, "runs", "first")
	s := cscs(t, "run-tensorboard", "--venv", lab.Env["LAB_VENV"], "--logdir", "runs", "--protect=false", "--", "--reload_interval", "1")
	url := strings.TrimRight(s.ready().URL, "/") + "/data/plugin/scalars/tags"
	writeRun(t, "runs/more", "second")
	if left := poll(patience, func() string {
		code, body := get(t, url)
		if code == http.StatusOK && strings.Contains(body, `"first"`) && strings.Contains(body, `"second"`) {
			return ""
		}
		return body
	}); left != "" {
		t.Errorf("never both tags: %s", left)
	}
	closeReady(t, s)
}

// TestTensorBoardLogdirMissing: a directory that is not there is told. It may be one
// that a job which waits in the queue is to make.
func TestTensorBoardLogdirMissing(t *testing.T) {
	begin(t)
	s := cscs(t, "run-tensorboard", "--venv", lab.Env["LAB_VENV"], "--logdir", "nosuchdir")
	says(t, s.wait("warning").Message, "nosuchdir", "does not exist")
	s.ready()
	closeReady(t, s)
}
