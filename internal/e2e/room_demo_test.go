//go:build lab

package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// demoPrograms are the processes that have the demo's hosts.
func demoPrograms(t *testing.T) []int {
	t.Helper()
	var pids []int
	eachProcess(func(p process) {
		if p.host == "laptop" && p.uid == labctl.AliceUID && strings.HasPrefix(p.cmdline, "cscs /run/user/") {
			pids = append(pids, p.pid)
		}
	})
	if len(pids) == 0 {
		t.Fatal("there is no demo on the laptop")
	}
	return pids
}

// hush stops the demo, with all its hosts, until the returned function is called.
func hush(t *testing.T) (speak func()) {
	t.Helper()
	pids := demoPrograms(t)
	send := func(s syscall.Signal) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, s)
		}
	}
	send(syscall.SIGSTOP)
	t.Cleanup(func() { send(syscall.SIGCONT) })
	return func() { send(syscall.SIGCONT) }
}

// TestRoomOfTheDemo: the waiting room in a browser, on the embedded cluster, in all the states that
// last there: it is connected to within milliseconds.
func TestRoomOfTheDemo(t *testing.T) {
	begin(t)
	program, err := os.ReadFile(lab.Env["CLUSTER_HOMES"] + "/testserver")
	if err != nil {
		t.Fatal(err)
	}
	put(t, laptopHome("testserver"), string(program), 0o755)
	const server, open = "/home/alice/testserver", "until [ -e /home/alice/open ]; do sleep 0.05; done"
	b := chromium(t)
	link := xdgOpen(t)

	m := link.terminal(t, "run", "--cluster", "demo", "--local-port", "8899", "--partition", "busy", "--setup", open, "--", server, "127.0.0.1:{port}")
	const url = "http://127.0.0.1:8899/"
	b.do("open the link", chromedp.Navigate(link.wait(t)))
	b.heading("Waiting in the queue")
	b.look("1-queued")
	b.heading("Starting the server")
	b.look("2-starting")
	put(t, laptopHome("open"), "", 0o644)
	b.do("see the server's page", chromedp.WaitVisible(`//*[contains(text(), "alice /")]`))
	b.do("go further", chromedp.Navigate(url+"deeper"))

	speak := hush(t)
	m.expect(`connection to \w+ lost`)
	b.do("load it again", leaves(`location.reload()`))
	b.heading("Reconnecting")
	b.says("connection to", "is lost", "returns to where you were")
	b.look("3-reconnecting")
	speak()
	b.do("see the server's page again", chromedp.WaitVisible(`//*[contains(text(), "alice /deeper")]`))
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}

	if err := os.Remove(laptopHome("open")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(link.file); err != nil {
		t.Fatal(err)
	}
	m = link.terminal(t, "run", "--cluster", "demo", "--setup", open, "--", server, "-exit", "3", "127.0.0.1:{port}")
	b.do("open the link", chromedp.Navigate(link.wait(t)))
	b.heading("Starting the server")
	put(t, laptopHome("open"), "", 0o644)
	b.heading("It did not start")
	if code := m.exit(patience); code != 5 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
	b.says("last words of testserver", "cscs run --cluster demo")
	b.look("4-ended")
}
