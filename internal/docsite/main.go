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
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

const (
	narrow   = 360 // a telephone's width in CSS pixels
	wide     = 1200
	height   = 800
	perPage  = 2 * time.Minute // axe-core takes seconds for a long page, more beside other work
	badPage  = "/.bad.html"
	badProof = `<!doctype html><html><head><title>bad</title></head><body><img src="http://elsewhere.invalid/x.png"><p style="width:900px">wide</p></body></html>`
)

func main() {
	axe := flag.String("axe", "", "`FILE` of axe-core, axe.min.js")
	flag.Parse()
	if *axe == "" || flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: docsite -axe FILE DIR")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Stdout, *axe, flag.Arg(0)); err != nil {
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
	if len(pages) == 0 {
		return fmt.Errorf("%s has no page: scripts/docs build", dir)
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
	defer stop()
	origin := "http://" + l.Addr().String()
	seen, err := checkPage(ctx, axe, origin, badPage)
	if err != nil {
		return nil, err
	}
	for _, fault := range []string{"elsewhere.invalid", "pixels wide", "image-alt"} {
		if !strings.Contains(strings.Join(seen, "\n"), fault) {
			return nil, fmt.Errorf("a page with the fault %q passes: %q", fault, seen)
		}
	}
	for _, page := range pages {
		found, err := checkPage(ctx, axe, origin, page)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", page, err)
		}
		bad = append(bad, found...)
	}
	return bad, nil
}

// startChromium starts a browser with a profile of its own that resolves no name. The caller calls stop.
func startChromium(ctx context.Context) (_ context.Context, stop func(), err error) {
	profile, err := os.MkdirTemp("", "docsite-")
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := chromedp.NewExecAllocator(ctx,
		chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.CombinedOutput(io.Discard))
	ctx, cancelBrowser := chromedp.NewContext(ctx)
	stop = func() {
		_ = chromedp.Cancel(ctx)
		cancelBrowser()
		cancel()
		_ = os.RemoveAll(profile)
	}
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, nil, fmt.Errorf("start Chromium: %w", err)
	}
	return ctx, stop, nil
}

// foreign is what a page loads from another host, also if that fails.
const foreign = `[...new Set([
	...[...document.querySelectorAll("script[src], link[href]:not([rel~=canonical]):not([rel~=alternate]), img[src], iframe[src], source[src], object[data]")].map(e => e.src || e.href || e.data),
	...performance.getEntriesByType("resource").map(e => e.name),
].filter(u => /^https?:/.test(u) && new URL(u).host !== location.host))]`

// violations are those of axe-core that keep people from reading a page, in light colours; then those of the dark ones,
// which are the same on each page but in code. (To compute a contrast is most of the work of axe-core.)
const violations = `(async () => {
	const still = document.createElement("style") // a colour that fades over has a wrong one for a moment
	still.textContent = "* { transition: none !important }"
	document.head.append(still)
	const serious = async (where, options) => (await axe.run(where, {resultTypes: ["violations"], ...options})).violations
		.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + " (" + v.help + "): " + v.nodes.slice(0, 3).map(n => n.target.join(" ")).join("; "))
	const light = await serious(document, {})
	document.body.setAttribute("data-md-color-scheme", "slate")
	const where = location.pathname === "/index.html" ? document : document.querySelector("pre") && {include: [["pre"]]}
	const dark = where ? await serious(where, {runOnly: ["color-contrast"]}) : []
	return [...light, ...dark.map(v => v + " in dark colours")]
})()`

// checkPage returns a line for each fault of a page.
func checkPage(ctx context.Context, axe, origin, page string) (bad []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, perPage)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(narrow, height), chromedp.Navigate(origin+page)); err != nil {
		return nil, err
	}
	width, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.scrollingElement.scrollWidth`))
	if err != nil {
		return nil, err
	}
	if width > narrow {
		bad = append(bad, fmt.Sprintf("%s: %d pixels wide on a screen of %d", page, width, narrow))
	}
	hosts, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](foreign))
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		bad = append(bad, page+": loads from another host: "+h)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(wide, height)); err != nil {
		return nil, err
	}
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[string](axe+"; axe.version")); err != nil {
		return nil, err
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](violations, chromedp.EvalAwaitPromise))
	if err != nil {
		return nil, err
	}
	for _, v := range found {
		bad = append(bad, page+": "+v)
	}
	return bad, nil
}
