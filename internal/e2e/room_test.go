//go:build lab

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// look writes what the window shows, at a desk and on a phone, by day and by night, into the
// test's artifacts (go test -artifacts keeps them), and holds the page to what it promises:
// readable without scrolling to the side, everything with a name, enough contrast.
func (w window) look(name string) {
	w.t.Helper()
	for _, size := range []struct {
		name string
		w, h int64
	}{{"desk", 1200, 800}, {"phone", 360, 740}} {
		for _, scheme := range []string{"light", "dark"} {
			w.do("set the size", chromedp.EmulateViewport(size.w, size.h), media(scheme))
			var faults []string
			if err := json.Unmarshal([]byte(w.value(faultsOfPage)), &faults); err != nil {
				w.t.Fatal(err)
			}
			for _, f := range faults {
				w.t.Errorf("%s, %s, %s: %s", name, size.name, scheme, f)
			}
			ctx, cancel := context.WithTimeout(w.ctx, step)
			png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
			cancel()
			if err != nil {
				w.fail("take a picture", err)
			}
			file := filepath.Join(w.t.ArtifactDir(), name+"-"+size.name+"-"+scheme+".png")
			if err := os.WriteFile(file, png, 0o644); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	w.do("set the size back", chromedp.EmulateViewport(1200, 800), media("light"))
}

func media(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}

// faultsOfPage finds what WCAG 2.2 would not let pass: 1.4.3 contrast (4.5:1), 1.4.10 reflow,
// 2.4.2 a title, 3.1.1 a language, one heading at the top.
const faultsOfPage = `JSON.stringify((() => {
	const faults = [];
	if (document.documentElement.scrollWidth > innerWidth) faults.push('it scrolls to the side');
	if (!document.title) faults.push('no title');
	if (!document.documentElement.lang) faults.push('no language');
	if (document.querySelectorAll('h1').length !== 1) faults.push('not one heading');
	if (!document.querySelector('main')) faults.push('no main part');
	const rgb = (c) => c.match(/[\d.]+/g).map(Number);
	const luminance = (c) => rgb(c).slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c)[3] !== 0) return c; } return 'rgb(255,255,255)'; };
	for (const e of document.querySelectorAll('h1, h2, p, li .name, li .detail, li time, li .mark, pre, code, a, footer')) {
		if (!e.textContent.trim() || e.closest('.hide')) continue;
		const [a, b] = [luminance(getComputedStyle(e).color), luminance(behind(e))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) faults.push(e.tagName + ' "' + e.textContent.slice(0, 30) + '" has a contrast of ' + ratio.toFixed(2));
		if (parseFloat(getComputedStyle(e).fontSize) < 12) faults.push(e.tagName + ' is too small');
	}
	return faults;
})())`

// value gives what an expression comes to in the page.
func (w window) value(expression string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, step)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		w.fail("evaluate", err)
	}
	return v
}

// heading waits until the page has that heading, whatever address it is at meanwhile.
func (w window) heading(text string) {
	w.t.Helper()
	w.do("see “"+text+"”", chromedp.WaitVisible(`//h1[text()="`+text+`"]`))
}

// writtenToken gives the token of the only session, from the file that the server is to read.
func writtenToken(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(clusterHome(".cscs/*/*/token"))
	if err != nil || len(files) != 1 {
		t.Fatalf("tokens: %q %v", files, err)
	}
	return readFile(t, files[0])
}

// says fails the test unless the page has every one of the words.
func (w window) says(words ...string) {
	w.t.Helper()
	says(w.t, w.value(`document.body.innerText`), words...)
}

// noSecret fails the test if what the browser would keep, or the page, has the word in it.
func (w window) noSecret(secret string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, step)
	defer cancel()
	h, err := chromedp.Run(ctx, chromedp.NavigationEntries())
	if err != nil {
		w.fail("read the history", err)
	}
	for _, e := range h.Entries {
		if strings.Contains(e.URL, secret) {
			w.t.Errorf("the secret is in the history: %s", e.URL)
		}
	}
}

// TestRoomInChromium: one tab for the life of a session. It is opened as soon as the job waits,
// shows how far that is, becomes JupyterLab without a token in its history, survives a lost
// connection at the place where the user was.
func TestRoomInChromium(t *testing.T) {
	begin(t)
	dir := mkdir(t, clusterHome("notebooks"))
	put(t, dir+"/one.ipynb", notebook, 0o644)
	g := newGate(t)
	holder := occupy(t, "alice", "-w", "nid001001")
	b := chromium(t)
	link := xdgOpen(t)
	cut(t)
	m := link.terminal(t, "CSCS_SETUP="+gateSetup, "run-jupyter", "--cluster", "daint", "--nodelist", "nid001001", "--time", "10", "--local-port", "8899",
		"--venv", lab.Env["LAB_VENV"], "--workdir", "notebooks")

	// The address answers from the first moment, to whoever is sent there by hand.
	const url = "http://127.0.0.1:8899/"
	if left := poll(patience, func() string {
		_, err := lab.Dial(t.Context(), "laptop", "127.0.0.1:8899")
		if err != nil {
			return err.Error()
		}
		return ""
	}); left != "" {
		t.Fatal(left)
	}
	b.do("go there by hand", chromedp.Navigate(url))
	b.heading("Connecting to daint")
	b.look("1-connecting")
	tell(t, "heal")

	asked := link.wait(t)
	b.heading("Waiting in the queue") // that tab has followed
	b.do("open the link", chromedp.Navigate(asked))
	b.heading("Waiting in the queue")
	b.says("Job", "node")
	b.look("2-queued")
	if loc := b.value("location.href"); !strings.HasPrefix(loc, url) || !strings.HasSuffix(loc, "/lab") || strings.Contains(loc, "?") {
		t.Errorf("the tab is at %s", loc)
	}

	cancelJob(t, holder)
	g.reached(1)
	b.heading("Starting Jupyter")
	b.says("nid001001", "until")
	b.look("3-starting")
	token := writtenToken(t)
	if strings.Contains(b.value("document.documentElement.outerHTML"), token) {
		t.Error("the token is in the page")
	}
	g.pass()
	b.do("see JupyterLab", chromedp.WaitVisible(chromedp.CSS(`#jp-main-dock-panel`)))
	b.do("open the notebook", chromedp.WaitVisible(`//span[text()="one.ipynb"]`), chromedp.DoubleClick(`//span[text()="one.ipynb"]`))
	b.do("see its cell", chromedp.WaitVisible(chromedp.CSS(`.jp-Notebook .jp-Cell`)))
	b.noSecret(token)
	where := b.value("location.href")
	if !strings.HasSuffix(where, "/lab/tree/one.ipynb") {
		t.Errorf("the tab is at %s", where)
	}

	back := closeEla(t)
	m.expect(`connection to \w+ lost`)
	b.acceptDialogs() // that the page may be left with work unsaved
	b.do("load it again", leaves(`location.reload()`))
	b.heading("Reconnecting")
	b.says("connection to", "is lost", "returns to where you were")
	b.look("4-reconnecting")
	back()
	b.do("see the notebook again", chromedp.WaitVisible(chromedp.CSS(`.jp-Notebook .jp-Cell`)))
	if now := b.value("location.href"); now != where {
		t.Errorf("it was at %s and is at %s", where, now)
	}
	b.noSecret(token)
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
}

// closeEla ends alice's connections on ela, which lets nobody in until it is told to be back.
// (When the line is cut, JupyterLab's own requests soon wait on all six connections that a browser
// makes to one address, and the next page has to wait with them until the chain is given up.)
func closeEla(t *testing.T) (back func()) {
	t.Helper()
	tell(t, "stop-service", "ela", "sshd")
	back = sync.OnceFunc(func() { tell(t, "start-service", "ela", "sshd") })
	t.Cleanup(back)
	eachProcess(func(p process) {
		if p.host == "ela" && p.uid == labctl.AliceUID {
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
	})
	return back
}

// acceptDialogs says yes to whatever the page asks.
func (w window) acceptDialogs() {
	dialogs := chromedp.Events(w.ctx, page.JavascriptDialogOpening)
	go func() { // until the window is closed
		for _, err := range dialogs {
			if err != nil {
				return
			}
			_, _ = chromedp.Call(w.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}
	}()
}

// leaves runs what takes the page away, without waiting for the next one.
func leaves(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[int](`setTimeout(() => { `+script+` })`)(ctx, t)
		return err
	})
}

// TestRoomEnds: a server that does not start leaves its tab with why, its last words and the
// command to try again, though nobody answers there any more.
func TestRoomEnds(t *testing.T) {
	begin(t)
	g := newGate(t)
	link := xdgOpen(t)
	m := link.terminal(t, "CSCS_SETUP="+gateSetup, "run", "--cluster", "daint", "--env", "WORD=a-word-of-mine", "--", lab.testserver, "-exit", "3", "127.0.0.1:{port}")
	b := chromium(t)
	b.do("open the link", chromedp.Navigate(link.wait(t)))
	g.reached(1)
	b.heading("Starting the server")
	g.pass()
	b.heading("It did not start")
	if code := m.exit(patience); code != 5 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
	b.says("ended with", "3", "last words of testserver", "cscs run --cluster daint --env 'WORD=…' -- ", "no longer answers")
	if strings.Contains(b.value("document.documentElement.outerHTML"), "a-word-of-mine") {
		t.Error("the value of a variable is in the page")
	}
	b.look("5-ended")
}

// TestRoomEndsInAnOutage: a job that ends while the connection is lost leaves a page that waits
// with why, too, and not with the error of a server that is not there any more.
func TestRoomEndsInAnOutage(t *testing.T) {
	begin(t)
	link := xdgOpen(t)
	m := link.terminal(t, "run", "--cluster", "daint", "--", lab.testserver, "127.0.0.1:{port}")
	b := chromium(t)
	b.do("open the link", chromedp.Navigate(link.wait(t)))
	b.do("see the server", chromedp.WaitVisible(`//pre[contains(., "alice")]`))
	job := output(t, "alice", "daint", "squeue", "--me", "-h", "-t", "RUNNING", "-o", "%i") // others may be COMPLETING
	back := closeEla(t)
	m.expect(`connection to \w+ lost`)
	b.do("load it again", leaves(`location.reload()`))
	b.heading("Reconnecting")
	output(t, "alice", "daint", "scancel", strings.TrimSpace(job)) // whose node lets us in for a while still
	if left := poll(patience, func() (left string) {
		eachProcess(func(p process) {
			if strings.Contains(p.cmdline, "testserver 127.0.0.1") && strings.HasPrefix(p.host, "nid") {
				left = p.cmdline
			}
		})
		return left
	}); left != "" {
		t.Errorf("it still runs: %s", left)
	}
	back()
	b.heading("Ended by an error")
	b.says("was cancelled with scancel", "cscs run --cluster daint -- ", "no longer answers")
	b.look("6-ended-in-an-outage")
	if code := m.exit(patience); code != 4 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
}

// navigation is what a browser sends that is to show a page.
var navigation = []string{"-H", "Accept: text/html,*/*;q=0.8", "-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Dest: document", "-H", "Sec-Fetch-Site: none"}

// curl gives the head and the body of what a user of the laptop gets.
func curl(t *testing.T, user, url string, options ...string) (head, body string) {
	t.Helper()
	out, err := try(t, user, "laptop", append(append([]string{"curl", "-sS", "-i", "--max-time", "10"}, options...), url)...)
	if err != nil {
		return "", out + ": " + err.Error()
	}
	head, body, _ = strings.Cut(strings.ReplaceAll(out, "\r\n", "\n"), "\n\n")
	return head, body
}

// TestRoomRefuses: another user of the laptop, at the port, the one-use link and with a stolen
// address, gets nothing; neither does a name that leads here, nor whoever comes a second time.
func TestRoomRefuses(t *testing.T) {
	begin(t)
	g := newGate(t)
	link := xdgOpen(t)
	m := link.terminal(t, "CSCS_SETUP="+gateSetup, "run-jupyter", "--cluster", "daint", "--venv", lab.Env["LAB_VENV"], "--local-port", "8899")
	asked := link.wait(t)
	g.reached(1)
	token := writtenToken(t)
	const url = "http://127.0.0.1:8899/"

	if head, body := curl(t, "mallory", asked); !strings.Contains(head, " 404 ") || strings.Contains(head+body, "Cookie") {
		t.Errorf("mallory, the link: %s\n%s", head, body)
	}
	head, _ := curl(t, "alice", asked)
	says(t, head, "303 See Other", "Location: "+url, "Set-Cookie: cscs-", "HttpOnly", "SameSite=Strict", "no-store")
	if strings.Contains(head, token) {
		t.Errorf("the token is in %s", head)
	}
	cookie := setCookie(head, "cscs-")
	if head, body := curl(t, "alice", asked); head != "" { // who had given it has closed
		t.Errorf("the link works twice: %s\n%s", head, body)
	}

	room := url + ".cscs/" + sessionOf(cookie) + "/"
	head, body := curl(t, "alice", url, navigation...)
	says(t, head, "503", "Connection: close", "Cache-Control: no-store", "Content-Security-Policy: default-src 'none'", "frame-ancestors 'none'")
	says(t, body, "Starting Jupyter", "nid")
	for name, got := range map[string][2]string{
		"the page":              pair(curl(t, "mallory", url, navigation...)),
		"the events":            pair(curl(t, "mallory", room+"events")),
		"the way in":            pair(curl(t, "mallory", room+"in")),
		"with alice's cookie":   pair(curl(t, "mallory", room+"in", "-H", "Cookie: "+cookie)),
		"alice without it":      pair(curl(t, "alice", room+"in")),
		"a rebound name":        pair(curl(t, "alice", url, append(navigation, "-H", "Host: evil.example:8899")...)),
		"its events":            pair(curl(t, "alice", room+"events", "-H", "Host: evil.example:8899")),
		"a page elsewhere":      pair(curl(t, "alice", room+"events", "-H", "Cookie: "+cookie, "-H", "Origin: http://127.0.0.1:9000")),
		"one that has no CORS":  pair(curl(t, "alice", room+"in", "-H", "Cookie: "+cookie, "-H", "Sec-Fetch-Site: same-site")),
		"an unprotected ticket": pair(curl(t, "alice", room+"in?ticket=x&key=", "-H", "Cookie: "+cookie)),
	} {
		if !strings.HasPrefix(got[0], "HTTP/1.1 403 ") || strings.Contains(got[1], "nid0") || strings.Contains(got[0], "Set-Cookie") {
			t.Errorf("%s: %s\n%s", name, got[0], got[1])
		}
	}
	// Ready: what was held is answered with Jupyter's own cookie, and that lets in.
	held := start(t, as(context.Background(), "alice", "laptop", "curl", "-sS", "-i", "--max-time", "50", "-H", "Cookie: "+cookie, room+"in"))
	g.pass()
	if code := held.exit(patience); code != 0 {
		t.Fatalf("curl ended with %d: %s", code, held.stderr)
	}
	says(t, held.stdout.String(), " 204 ", "Set-Cookie: username-127-0-0-1-8899=")
	login := setCookie(strings.ReplaceAll(held.stdout.String(), "\r\n", "\n"), "username-127")
	m.expect("ready: localhost") // the address is shown before that, too
	public := regexpFind(m.expect(`(http://127\.0\.0\.1:8899/[0-9a-f]+/)lab`)[0])
	if head, _ := curl(t, "alice", public+"api/status", "-H", "Cookie: "+login); !strings.HasPrefix(head, "HTTP/1.1 200") {
		t.Errorf("with Jupyter's cookie: %s", head)
	}
	if head, _ := curl(t, "alice", public+"api/status", "-H", "Cookie: "+cookie); !strings.HasPrefix(head, "HTTP/1.1 403") {
		t.Errorf("with ours alone: %s", head)
	}
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
}

func pair(a, b string) [2]string { return [2]string{a, b} }

func regexpFind(link string) string { return strings.TrimSuffix(link, "lab") }

// setCookie gives the name and the value of the first cookie in a head whose name begins so.
func setCookie(head, name string) string {
	for line := range strings.Lines(head) {
		if rest, ok := strings.CutPrefix(line, "Set-Cookie: "); ok && strings.HasPrefix(rest, name) {
			cookie, _, _ := strings.Cut(rest, ";")
			return strings.TrimSpace(cookie)
		}
	}
	return ""
}

// sessionOf gives the ID of the session that a cookie of ours is named after.
func sessionOf(cookie string) string {
	parts := strings.SplitN(cookie, "-", 3)
	if len(parts) != 3 {
		return ""
	}
	return parts[1]
}

// TestRoomHolds: what is no navigation is not answered by a page, but by the server when it is there:
// a request, an upload, and what is no HTTP.
func TestRoomHolds(t *testing.T) {
	begin(t)
	g := newGate(t)
	s := serve(t, []string{"--setup", gateSetup, "--local-port", "8899"})
	g.reached(1)
	asked := func(options ...string) *background {
		argv := append([]string{"curl", "-sS", "--max-time", "50"}, options...)
		return start(t, as(context.Background(), "alice", "laptop", append(argv, "http://127.0.0.1:8899/x")...))
	}
	waiting := map[string]*background{
		"a program":     asked(),
		"a script":      asked("-H", "Accept: text/html", "-H", "Sec-Fetch-Mode: cors"),
		"a frame":       asked("-H", "Accept: text/html", "-H", "Sec-Fetch-Mode: navigate", "-H", "Sec-Fetch-Dest: iframe"),
		"a form":        asked("-H", "Accept: text/html", "-H", "Sec-Fetch-Mode: navigate", "--data", "x=1"),
		"fetched ahead": asked(append(navigation, "-H", "Sec-Purpose: prefetch")...),
	}
	if _, body := curl(t, "alice", "http://127.0.0.1:8899/x", navigation...); !strings.Contains(body, "Starting the server") {
		t.Errorf("a navigation: %s", body)
	}
	for name, c := range waiting {
		select {
		case <-c.done:
			t.Errorf("%s has an answer: %s", name, c.stdout)
		default:
		}
	}
	g.pass()
	s.ready()
	for name, c := range waiting {
		if code := c.exit(patience); code != 0 || !strings.Contains(c.stdout.String(), "alice /x") {
			t.Errorf("%s: %d %q %s", name, code, c.stdout, c.stderr)
		}
	}
	// A navigation goes to the server now, too.
	if _, body := curl(t, "alice", "http://127.0.0.1:8899/x", navigation...); !strings.Contains(body, "alice /x") {
		t.Errorf("a navigation when it is ready: %s", body)
	}
	closeReady(t, s)
}

// inTab is what a page in the browser gets by trying each way of asking another address.
const inTab = `(async () => {
	const to = %s, got = {};
	const wait = (ms) => new Promise((r) => setTimeout(() => r('silence'), ms));
	got.fetch = await fetch(to, { credentials: 'include' }).then((r) => r.text(), () => 'refused');
	got.blind = await fetch(to, { credentials: 'include', mode: 'no-cors' }).then((r) => r.type, () => 'refused');
	got.image = await new Promise((r) => { const i = new Image(); i.onload = () => r('shown'); i.onerror = () => r('refused'); i.src = to; });
	got.script = await new Promise((r) => { const s = document.createElement('script'); s.onload = () => r('run'); s.onerror = () => r('refused'); s.src = to; document.head.append(s); });
	got.socket = await new Promise((r) => { const s = new WebSocket(to.replace('http', 'ws')); s.onopen = () => r('open'); s.onerror = () => r('refused'); });
	got.post = await fetch(to, { method: 'POST', body: 'x', credentials: 'include', mode: 'no-cors' }).then((r) => r.type, () => 'refused');
	return JSON.stringify(got);
})()`

// TestProtect: TensorBoard has no login, and so is for alice's programs and for the tab that cscs has opened:
// not for another user, not for a page on another port of this machine, not under another name.
func TestProtect(t *testing.T) {
	begin(t)
	writeRun(t, "runs", "some/loss")
	link := xdgOpen(t)
	m := link.terminal(t, "run-tensorboard", "--cluster", "daint", "--venv", lab.Env["LAB_VENV"], "--logdir", "runs", "--local-port", "8899")
	b := chromium(t)
	asked := link.wait(t)
	b.do("open the link", chromedp.Navigate(asked))
	b.do("see the run's tag", chromedp.WaitVisible(`//*[contains(text(), "some/loss") or contains(text(), "loss")]`))
	b.do("leave", chromedp.Navigate("about:blank"))
	const url = "http://127.0.0.1:8899/"
	key := m.expect(`http://127\.0\.0\.1:8899/\.cscs/[a-z2-7]{8}/in\?key=\w+`)[0]
	head, _ := curl(t, "alice", key)
	says(t, head, "303", "Location: "+url, "HttpOnly", "SameSite=Strict")
	cookie := "Cookie: " + setCookie(head, "cscs-")
	b.noSecret("key=")

	const data = url + "data/environment"
	if head, body := curl(t, "alice", data, "-H", cookie, "-H", "Sec-Fetch-Site: same-origin"); !strings.HasPrefix(head, "HTTP/1.1 200") || !strings.Contains(body, "version") {
		t.Errorf("alice: %s\n%s", head, body)
	}
	if head, body := curl(t, "alice", data, "-H", cookie); !strings.HasPrefix(head, "HTTP/1.1 200") {
		t.Errorf("a program with the cookie: %s\n%s", head, body)
	}
	for name, got := range map[string][2]string{
		"mallory":                    pair(curl(t, "mallory", data)),
		"mallory with the cookie":    pair(curl(t, "mallory", data, "-H", cookie)),
		"mallory with the key":       pair(curl(t, "mallory", key)),
		"mallory navigates":          pair(curl(t, "mallory", url, navigation...)),
		"a rebound name":             pair(curl(t, "alice", data, "-H", cookie, "-H", "Host: evil.example:8899")),
		"a name without the port":    pair(curl(t, "alice", data, "-H", cookie, "-H", "Host: 127.0.0.1")),
		"another port's origin":      pair(curl(t, "alice", data, "-H", cookie, "-H", "Origin: http://127.0.0.1:9000")),
		"no origin's":                pair(curl(t, "alice", data, "-H", cookie, "-H", "Origin: null")),
		"an image of another port's": pair(curl(t, "alice", data, "-H", cookie, "-H", "Sec-Fetch-Site: same-site", "-H", "Sec-Fetch-Mode: no-cors")),
		"a link of another port's":   pair(curl(t, "alice", url, append(navigation[:len(navigation)-1:len(navigation)-1], "Sec-Fetch-Site: same-site", "-H", cookie)...)),
		"a wrong key":                pair(curl(t, "alice", url+".cscs/"+sessionOf(cookie[len("Cookie: "):])+"/in?key=x")),
		"a wrong ticket":             pair(curl(t, "alice", url+".cscs/"+sessionOf(cookie[len("Cookie: "):])+"/in?ticket=x")),
	} {
		if !strings.HasPrefix(got[0], "HTTP/1.1 403 ") || strings.Contains(got[1], "version\"") || strings.Contains(got[0], "Set-Cookie") {
			t.Errorf("%s: %s\n%s", name, got[0], got[1])
		}
	}

	// A page on another port of this machine, in the very browser that has the cookie.
	mkdir(t, laptopHome("evil"))
	put(t, laptopHome("evil/index.html"), "<!DOCTYPE html><title>evil</title><h1>evil</h1>", 0o644)
	web := start(t, as(context.Background(), "alice", "laptop", "python3", "-u", "-m", "http.server", "9000", "--bind", "127.0.0.1", "--directory", "/home/alice/evil"))
	web.line("Serving")
	b.do("see the other page", chromedp.Navigate("http://127.0.0.1:9000/"), chromedp.WaitVisible(`//h1[text()="evil"]`))
	for way, got := range b.tries(data) {
		// A blind answer is opaque: that it was a refusal, the server's log would tell.
		if got != "refused" && (way != "blind" && way != "post" || got != "opaque") {
			t.Errorf("%s: %q", way, got)
		}
	}
	// The link that goes on stays at this port, as this browser reads it, whatever the other page asks for.
	for _, path := range []string{"//evil.example/x", "///evil.example/x", `/\\evil.example`, "/%2F/evil.example", "/%5Cevil.example", "/%09/evil.example", "/?//evil.example"} {
		b.do("see the other page again", chromedp.Navigate("http://127.0.0.1:9000/"), chromedp.WaitVisible(`//h1[text()="evil"]`))
		b.do("go there from it by "+path, leaves("location.href = "+strconv.Quote(strings.TrimSuffix(url, "/")+path)))
		b.heading("Another page has sent you here")
		if origin := b.value(`document.querySelector('main a').origin`); origin != strings.TrimSuffix(url, "/") {
			t.Errorf("%s: the link leads to %s", path, origin)
		}
	}
	b.do("see the other page again", chromedp.Navigate("http://127.0.0.1:9000/"), chromedp.WaitVisible(`//h1[text()="evil"]`))
	b.do("go there from it", leaves("location.href = "+strconv.Quote(url)))
	b.heading("Another page has sent you here")
	b.look("6-sent")
	b.do("go on", chromedp.Click(`//a[text()="Go on to the server"]`))
	b.do("see TensorBoard", chromedp.WaitVisible(chromedp.CSS(`tb-webapp`)))
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
	if out := plain(m.stdout.String()); !strings.Contains(out, "key=") {
		t.Errorf("the link is not on the terminal: %s", out)
	}
}

// tries gives what the page gets in each way.
func (w window) tries(to string) map[string]string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, step)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](strings.Replace(inTab, "%s", strconv.Quote(to), 1), chromedp.EvalAwaitPromise))
	if err != nil {
		w.fail("try", err)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(v), &got); err != nil {
		w.t.Fatal(err)
	}
	if len(got) < 6 {
		w.t.Fatalf("only %v was tried", got)
	}
	return got
}

// TestProtectJupyter: with --protect, JupyterLab works through the proxy, websockets and all; its
// files, its kernel. --no-browser's link does as well.
func TestProtectJupyter(t *testing.T) {
	begin(t)
	dir := mkdir(t, clusterHome("notebooks"))
	put(t, dir+"/one.ipynb", notebook, 0o644)
	m := terminal(t, "run-jupyter", "--cluster", "daint", "--protect", "--no-browser", "--venv", lab.Env["LAB_VENV"], "--workdir", "notebooks")
	b := chromium(t)
	url := m.expect(`http://127\.0\.0\.1:\d+/\.cscs/[a-z2-7]{8}/in\?key=\w+`)[0]
	if head, body := curl(t, "mallory", url[:strings.Index(url, ".cscs")]); !strings.HasPrefix(head, "HTTP/1.1 403") {
		t.Errorf("mallory: %s\n%s", head, body)
	}
	b.do("open the link", chromedp.Navigate(url))
	b.do("see JupyterLab", chromedp.WaitVisible(chromedp.CSS(`#jp-main-dock-panel`)))
	b.runsNotebook()
	b.noSecret("key=")
	m.send(ctrlC)
	if code := m.exit(patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, plain(m.stdout.String()))
	}
}

// runsNotebook has the notebook's cell executed.
func (w window) runsNotebook() {
	w.t.Helper()
	w.do("see the notebook in the list", chromedp.WaitVisible(`//span[text()="one.ipynb"]`))
	w.do("open the notebook", chromedp.DoubleClick(`//span[text()="one.ipynb"]`))
	w.do("see its cell", chromedp.WaitVisible(chromedp.CSS(`.jp-Notebook .jp-Cell`)))
	w.do("wait for the kernel", chromedp.WaitVisible(chromedp.CSS(`.jp-NotebookPanel [data-status="idle"], .jp-NotebookPanel .jp-Notebook-ExecutionIndicator[data-status="idle"]`)))
	answer := w.runFirstCell()
	if !strings.HasPrefix(answer, "42 on nid") {
		w.t.Errorf("the cell says %q", answer)
	}
}
