//go:build lab

package e2e

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// opener is a stand-in for xdg-open that records what it is asked to open.
type opener struct {
	file string
}

// xdgOpen makes one for the test.
func xdgOpen(t *testing.T) opener {
	t.Helper()
	dir := mkdir(t, laptopHome("opener"))
	file := dir + "/asked"
	put(t, dir+"/xdg-open", "#!/bin/sh\nprintf '%s\\n' \"$@\" >>/home/alice/opener/asked\n", 0o755)
	return opener{file: file}
}

// terminal is terminal with the opener first in the PATH, and a DISPLAY that
// makes the program believe in a desktop.
func (o opener) terminal(t *testing.T, words ...string) *term {
	t.Helper()
	return terminal(t, append([]string{"PATH=/home/alice/opener:/usr/local/bin:/usr/bin:/bin", "DISPLAY=:0"}, words...)...)
}

// wait gives the first link that the browser was asked to open.
func (o opener) wait(t *testing.T) string {
	t.Helper()
	var url string
	if poll(patience, func() string {
		text, _ := os.ReadFile(o.file)
		line, _, complete := strings.Cut(string(text), "\n")
		if !complete {
			return "not asked"
		}
		url = line
		return ""
	}) != "" {
		t.Fatal("no browser was opened")
	}
	return url
}

// again has the session opened by cscs open, and gives the link that the browser was asked to
// open for that.
func (o opener) again(t *testing.T) string {
	t.Helper()
	before, _ := os.ReadFile(o.file)
	start(t, as(context.Background(), "alice", "laptop", "PATH=/home/alice/opener:/usr/local/bin:/usr/bin:/bin", "DISPLAY=:0", lab.bin, "open"))
	var url string
	if poll(patience, func() string {
		text, _ := os.ReadFile(o.file)
		line, _, complete := strings.Cut(strings.TrimPrefix(string(text), string(before)), "\n")
		if !complete {
			return "not asked"
		}
		url = line
		return ""
	}) != "" {
		t.Fatal("cscs open opened no browser")
	}
	return url
}

// TestBrowser: it is opened where there is a desktop and nobody said no. The URL is on
// the screen in any case.
func TestBrowser(t *testing.T) {
	for _, c := range []struct {
		name        string
		environment []string
		flags       []string
		opened      bool
	}{
		{"opened", nil, nil, true},
		{"no-browser", nil, []string{"--no-browser"}, false},
		{"no-desktop", []string{"DISPLAY="}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			link := xdgOpen(t)
			words := append(c.environment, append([]string{"run", "--cluster", "daint"}, c.flags...)...)
			m := link.terminal(t, append(words, "--", lab.testserver, "127.0.0.1:{port}")...)
			m.expect("ready: localhost") // the address is shown before that, too
			url := m.expect(`http://127\.0\.0\.1:\d+`)[0]
			if _, body := get(t, url); !strings.HasPrefix(body, "alice") {
				t.Errorf("GET %s: %s", url, body)
			}
			if c.opened {
				// A link for one use, which leads to the same server.
				asked := link.wait(t)
				if out := output(t, "alice", "laptop", "curl", "-sSL", "--max-time", "10", "-w", "%{url_effective}", asked); !strings.HasPrefix(out, "alice") || !strings.HasSuffix(out, url+"/") {
					t.Errorf("%s was opened, which leads to %s; on the screen is %s", asked, out, url)
				}
			} else if called(link, 2*time.Second) {
				t.Error("a browser was opened")
			}
			m.send(ctrlC)
			if code := m.exit(patience); code != 0 {
				t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
			}
			if !c.opened && called(link, 0) {
				t.Error("a browser was opened at the end")
			}
		})
	}
}

// called tells whether a browser is asked for within that time. (Where it is, that comes
// with the URL.)
func called(link opener, within time.Duration) bool {
	return poll(within, func() string {
		if _, err := os.Stat(link.file); err != nil {
			return "not yet"
		}
		return ""
	}) == ""
}

// window is a headless Chromium of alice's on the laptop.
type window struct {
	t   *testing.T
	ctx context.Context
}

// chromium starts one. It is spoken to through a pipe that it inherits, so it
// opens no port that could be mistaken for a session's.
func chromium(t *testing.T, more ...chromedp.ExecAllocatorOption) window {
	t.Helper()
	mkdir(t, laptopHome("chromium"))
	const home = "/home/alice/chromium"
	inLaptop := func(c *exec.Cmd) {
		// nsenter hands the pipe's descriptors on.
		wrap := []string{"nsenter", "-t", lab.HostPID("laptop"), "--net", "--uts", "--ipc", "--pid", "--mount", "--",
			"setpriv", "--reuid", "2001", "--regid", "2001", "--clear-groups", "--pdeathsig", "KILL", "--"}
		c.Path = "/usr/bin/nsenter"
		c.Args = append(wrap, c.Args...)
		if c.SysProcAttr == nil {
			c.SysProcAttr = &syscall.SysProcAttr{}
		}
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU,
		chromedp.UserDataDir(home + "/profile"),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1200, 800),
		chromedp.NoInheritEnv, chromedp.Env("HOME="+home, "TMPDIR="+home, "XDG_RUNTIME_DIR="+home, "PATH=/usr/bin:/bin", "LANG=C.UTF-8"),
		chromedp.ModifyCmdFunc(inLaptop), chromedp.CombinedOutput(io.Discard),
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	t.Cleanup(cancel)
	ctx, cancelBrowser := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		cancelBrowser()
	})
	w := window{t: t, ctx: ctx}
	// The first action starts the browser, and its context ends it.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return w
}

// step is how long one step may take: JupyterLab's first page is many megabytes
// on a machine that also runs the cluster.
const step = 90 * time.Second

// do performs actions; where one fails, what the window showed is told.
func (w window) do(name string, actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, step)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		w.fail(name, err)
	}
}

// textAfter performs the actions, again every few seconds, until something matches the
// selector, and gives its text. A page that is still being made may replace what is being clicked.
func (w window) textAfter(name, css string, actions ...chromedp.Action[chromedp.Void]) string {
	w.t.Helper()
	deadline := time.Now().Add(step)
	for {
		ctx, cancel := context.WithTimeout(w.ctx, step)
		err := chromedp.Do(ctx, actions...)
		cancel()
		if err == nil {
			var text string
			ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
			text, err = chromedp.Run(ctx, chromedp.Text(chromedp.CSS(css)))
			cancel()
			if err == nil {
				return text
			}
		}
		if time.Now().After(deadline) {
			w.fail(name, err)
		}
	}
}

func (w window) fail(name string, err error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	url, _ := chromedp.Run(ctx, chromedp.Location())
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 2000)`))
	w.t.Fatalf("%s: %v\nat %s\n%s", name, err, url, text)
}
