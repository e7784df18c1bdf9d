// Command docsite checks the documentation site that mkdocs has built (scripts/docs check).
//
//	go run ./internal/docsite -axe AXE.MIN.JS DIR
//
// It opens each page in Chromium, and prints each page that refers to another host for what it loads, is wider than a
// telephone, or has a serious or critical violation that axe-core finds. The exit code is 1 if there is one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/chromedp/chromedp"
)

const (
	narrow    = 360 // a telephone's width in CSS pixels
	wide      = 1200
	height    = 800
	perPage   = 2 * time.Minute // axe-core takes seconds for a long page, more beside other work
	stopLimit = 10 * time.Second
	front     = "/index.html"
	badPage   = "/.bad.html"
	badProof  = `<!doctype html><html><head><title>bad</title><style>
[data-md-color-scheme=slate] :is(em, pre) { color: #888; background: #999 }
</style></head><body>
<img src="http://image.invalid/x.png"><div style="height: 9px; background: url(http://background.invalid/x.png)"></div>
<p style="width:900px">wide</p><em id="prose">text</em><pre id="code">code</pre></body></html>`
)

// badFaults match the lines for badProof. The last is all that is found in dark colours unless the page is checked whole.
var badFaults = []*regexp.Regexp{
	regexp.MustCompile("image.invalid"), regexp.MustCompile("background.invalid"),
	regexp.MustCompile("pixels wide"), regexp.MustCompile("image-alt"),
	regexp.MustCompile("#prose.* in dark colours"), regexp.MustCompile("#code.* in dark colours"),
}

func main() {
	axe := flag.String("axe", "", "`FILE` of axe-core, axe.min.js")
	flag.Parse()
	if *axe == "" || flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: docsite -axe FILE DIR")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *axe, flag.Arg(0))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "docsite:", err)
		os.Exit(1)
	}
}

// run checks the site in dir, and writes what is wrong to out.
func run(ctx context.Context, out io.Writer, axeFile, dir string) error {
	axe, err := os.ReadFile(axeFile)
	if err != nil {
		return err
	}
	pages, styles, err := findFiles(dir)
	if err != nil {
		return err
	}
	if !slices.Contains(pages, front) { // the page that is checked whole in dark colours
		return fmt.Errorf("%s has no page %s: scripts/docs build", dir, front)
	}
	bad, err := checkStyles(styles)
	if err != nil {
		return err
	}
	found, err := checkPages(ctx, string(axe), dir, pages)
	if err != nil {
		return err
	}
	bad = append(bad, found...)
	for _, line := range bad {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintf(out, "%d pages and %d style sheets, %d faults\n", len(pages), len(styles), len(bad))
	if len(bad) > 0 {
		return errors.New("the site has faults")
	}
	return nil
}

// findFiles returns the pages below dir as paths of URLs, and its style sheets as files.
func findFiles(dir string) (pages, styles []string, err error) {
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch filepath.Ext(path) {
		case ".html":
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			pages = append(pages, "/"+filepath.ToSlash(name))
		case ".css":
			styles = append(styles, path)
		}
		return nil
	})
	return pages, styles, err
}

// foreignStyle matches what a style sheet would load from another host.
var foreignStyle = regexp.MustCompile(`(?i)(url\(\s*["']?|@import\s*["'])(https?:)?//[^"')]*`)

// checkStyles returns a line for each address of another host in the style sheets.
func checkStyles(files []string) (bad []string, err error) {
	for _, path := range files {
		css, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for _, m := range foreignStyle.FindAllString(string(css), -1) {
			bad = append(bad, path+": loads from another host: "+m)
		}
	}
	return bad, nil
}

// checkPages opens each page in Chromium, and returns a line for each fault. It fails if it does not see the faults of
// a page that has each of them.
func checkPages(ctx context.Context, axe, dir string, pages []string) (bad []string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.Handle("/search/", http.NotFoundHandler()) // each page would make the index of all anew, a fifth of the work
	mux.HandleFunc(badPage, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, badProof) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: perPage}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	defer func() {
		_ = server.Close()
		<-done
	}()
	ctx, stop, err := startChromium(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	origin := "http://" + l.Addr().String()
	if err := proveChecks(ctx, axe, origin+badPage); err != nil {
		return nil, err
	}
	for _, page := range pages {
		found, err := checkPage(ctx, axe, origin+page, page == front)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", page, err)
		}
		for _, f := range found {
			bad = append(bad, page+": "+f)
		}
	}
	return bad, nil
}

// proveChecks fails if a check does not find its fault in the page that has all of them.
func proveChecks(ctx context.Context, axe, url string) error {
	whole, err := checkPage(ctx, axe, url, true)
	if err != nil {
		return err
	}
	for _, fault := range badFaults {
		if !slices.ContainsFunc(whole, fault.MatchString) {
			return fmt.Errorf("a page with the fault %q passes: %q", fault, whole)
		}
	}
	code, err := checkPage(ctx, axe, url, false)
	if fault := badFaults[len(badFaults)-1]; err == nil && !slices.ContainsFunc(code, fault.MatchString) {
		err = fmt.Errorf("a page with the fault %q passes: %q", fault, code)
	}
	return err
}

// startChromium starts a browser that resolves no name. The caller calls stop, which removes its profile, also after
// the end of ctx.
func startChromium(ctx context.Context) (_ context.Context, stop func() error, err error) {
	browser, cancel := chromedp.NewExecAllocator(context.WithoutCancel(ctx),
		chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.CombinedOutput(io.Discard))
	browser, cancelBrowser := chromedp.NewContext(browser)
	pages, cancelPages := context.WithCancelCause(browser)
	unlink := context.AfterFunc(ctx, func() { cancelPages(context.Cause(ctx)) })
	stop = func() error {
		unlink()
		cancelPages(nil)
		last, done := context.WithTimeout(browser, stopLimit)
		defer done()
		err := chromedp.Cancel(last)
		cancelBrowser()
		cancel()
		if err != nil {
			return fmt.Errorf("stop Chromium: %w", err)
		}
		return nil
	}
	if err := chromedp.Do(browser); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start Chromium: %w", err), stop())
	}
	return pages, stop, nil
}

// foreign is what a page loads from another host, also if that fails.
const foreign = `[...new Set([
	...[...document.querySelectorAll("script[src], link[href]:not([rel~=canonical]):not([rel~=alternate]), img[src], iframe[src], source[src], object[data]")].map(e => e.src || e.href || e.data),
	...performance.getEntriesByType("resource").map(e => e.name),
].filter(u => /^https?:/.test(u) && new URL(u).host !== location.host))]`

// violations are those of axe-core that keep people from reading a page, in light colours; then those of the dark ones,
// which are the same on each page but in code. (To compute a contrast is most of the work of axe-core.)
const violations = `(async whole => {
	const still = document.createElement("style") // a colour that fades over has a wrong one for a moment
	still.textContent = "* { transition: none !important }"
	document.head.append(still)
	const serious = async (where, options) => (await axe.run(where, {resultTypes: ["violations"], ...options})).violations
		.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + " (" + v.help + "): " + v.nodes.slice(0, 3).map(n => n.target.join(" ")).join("; "))
	const light = await serious(document, {})
	document.body.setAttribute("data-md-color-scheme", "slate")
	const where = whole ? document : document.querySelector("pre") && {include: [["pre"]]}
	const dark = where ? await serious(where, {runOnly: ["color-contrast"]}) : []
	return [...light, ...dark.map(v => v + " in dark colours")]
})`

// checkPage returns a line for each fault of a page; whole: not only its code is checked in dark colours.
func checkPage(ctx context.Context, axe, url string, whole bool) (bad []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, perPage)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(narrow, height), chromedp.Navigate(url)); err != nil {
		return nil, err
	}
	width, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.scrollingElement.scrollWidth`))
	if err != nil {
		return nil, err
	}
	if width > narrow {
		bad = append(bad, fmt.Sprintf("%d pixels wide on a screen of %d", width, narrow))
	}
	hosts, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](foreign))
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		bad = append(bad, "loads from another host: "+h)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(wide, height)); err != nil {
		return nil, err
	}
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[string](axe+"; axe.version")); err != nil {
		return nil, err
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](fmt.Sprintf("%s(%t)", violations, whole), chromedp.EvalAwaitPromise))
	if err != nil {
		return nil, err
	}
	return append(bad, found...), nil
}
