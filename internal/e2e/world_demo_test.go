//go:build unix && !lab

package e2e

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/demo"
)

// here is the world of the tests that need no lab.
var here world = &stage

// stage is a demo in this process, and a laptop's directories.
var stage demoWorld

type demoWorld struct {
	*demo.Cluster
	dir        string // of all that there is
	bin        string // the built cscs
	testserver string
}

func TestMain(m *testing.M) {
	if code, ok := demo.Helper(); ok {
		os.Exit(code)
	}
	code, err := stage.tests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// tests builds what is to be run, and starts the cluster, for all tests.
func (w *demoWorld) tests(m *testing.M) (int, error) {
	var err error
	if w.dir, err = os.MkdirTemp("", "cscs-e2e"); err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(w.dir) }()
	w.bin, w.testserver = filepath.Join(w.dir, "cscs"), filepath.Join(w.dir, "testserver")
	for out, what := range map[string]string{w.bin: "../../cmd/cscs", w.testserver: "./testserver"} {
		build := exec.CommandContext(context.Background(), "go", "build", "-o", out, what)
		if said, err := build.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("build %s: %w\n%s", what, err, said)
		}
	}
	if err := os.Mkdir(w.runtime(), 0o700); err != nil {
		return 1, err
	}
	var stop func()
	if w.Cluster, stop, err = (demo.Place{Dir: filepath.Join(w.runtime(), "cscs", "demo")}).Serve(); err != nil {
		return 1, err
	}
	defer stop()
	return m.Run(), nil
}

func (w *demoWorld) runtime() string { return filepath.Join(w.dir, "run") }

// files are all that there are of the laptop's and the cluster's.
func (w *demoWorld) files() []string {
	var all []string
	_ = filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	return all
}

func (w *demoWorld) begin(t *testing.T) {
	t.Helper()
	before := map[string]bool{}
	for _, f := range w.files() {
		before[f] = true
	}
	t.Cleanup(func() {
		left := poll(20*time.Second, func() string {
			left := w.Queue()
			for _, f := range w.files() {
				// Logs are kept, and the lock of a shared connection, which goes with the cluster.
				if !before[f] && filepath.Ext(f) != ".log" && filepath.Dir(f) != filepath.Join(w.runtime(), "cscs", demo.Name) {
					left += "\n" + f
				}
			}
			return left
		})
		if left != "" {
			t.Errorf("left behind: %s", left)
		}
	})
}

func (w *demoWorld) cluster() string { return demo.Name }
func (w *demoWorld) server() string  { return w.testserver }

func (w *demoWorld) command(ctx context.Context, words ...string) *exec.Cmd {
	n := 0
	for n < len(words) && strings.Contains(words[n], "=") {
		n++
	}
	cmd := exec.CommandContext(ctx, w.bin, words[n:]...)
	cmd.Env = append([]string{"HOME=" + filepath.Join(w.dir, "laptop"), "XDG_RUNTIME_DIR=" + w.runtime(), "PATH=" + os.Getenv("PATH"), "CSCS_SITE_CONFIG=" + os.DevNull}, words[:n]...)
	return cmd
}

func (w *demoWorld) get(t *testing.T, url string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	setHeaders(req, headers)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// setHeaders sets headers of the form "Name: value".
func setHeaders(r *http.Request, headers []string) {
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
}

func (w *demoWorld) jobs(*testing.T) string {
	var mine []string
	for line := range strings.Lines(w.Queue()) {
		if strings.Contains(line, " cscs-") {
			mine = append(mine, strings.TrimSpace(line))
		}
	}
	return strings.Join(mine, "\n")
}

func (w *demoWorld) occupy(t *testing.T) func() {
	free := w.Occupy()
	t.Cleanup(free)
	return free
}

func (w *demoWorld) cancel(_ *testing.T, job string) { w.Cancel(job) }
func (w *demoWorld) expire(_ *testing.T, job string) { w.Expire(job) }
func (w *demoWorld) heal(*testing.T)                 { w.Heal() }
func (w *demoWorld) scratch(t *testing.T) string     { return t.TempDir() }

func (w *demoWorld) cut(t *testing.T) {
	t.Cleanup(w.Heal)
	w.Cut()
}
