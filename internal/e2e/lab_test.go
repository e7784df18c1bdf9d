//go:build lab

package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// as is lab.As: the command that runs argv as a user on a host.
func as(ctx context.Context, user, host string, argv ...string) *exec.Cmd {
	return lab.As(ctx, user, host, argv...)
}

// output runs argv as a user on a host and gives what it printed; it must succeed.
func output(t *testing.T, user, host string, argv ...string) string {
	t.Helper()
	out, err := try(t, user, host, argv...)
	if err != nil {
		t.Fatalf("%s on %s: %q: %v\n%s", user, host, argv, err, out)
	}
	return out
}

// try is output for what may fail.
func try(t *testing.T, user, host string, argv ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := as(ctx, user, host, argv...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// tell gives scripts/lab an order: cut, heal, rtt, crash, cert …
func tell(t *testing.T, args ...string) {
	t.Helper()
	if out, err := lab.Command(context.Background(), args...).CombinedOutput(); err != nil {
		t.Fatalf("scripts/lab %q: %v\n%s", args, err, out)
	}
}

// cut takes the line away; the test's end gives it back.
func cut(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { tell(t, "heal") })
	tell(t, "cut")
}

// rtt sets the length of the line; the test's end makes it short again.
func rtt(t *testing.T, d time.Duration) {
	t.Helper()
	t.Cleanup(func() { tell(t, "rtt", "0") })
	tell(t, "rtt", d.String())
}

// laptopHome and clusterHome are alice's, as this machine sees them.
func laptopHome(path ...string) string {
	return filepath.Join(append([]string{lab.Env["LAPTOP_HOME"]}, path...)...)
}

func clusterHome(path ...string) string {
	return filepath.Join(append([]string{lab.Env["CLUSTER_HOME"]}, path...)...)
}

// put writes a file of alice's for the length of the test, and puts back what
// was there before.
func put(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	before, err := os.ReadFile(path)
	existed := err == nil
	t.Cleanup(func() {
		if !existed {
			_ = os.Remove(path)
			return
		}
		if err := os.WriteFile(path, before, mode); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, labctl.AliceUID, labctl.AliceUID); err != nil {
		t.Fatal(err)
	}
}

// mkdir makes a directory of alice's for the length of the test.
func mkdir(t *testing.T, path string) string {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(path) })
	if err := os.Chown(path, labctl.AliceUID, labctl.AliceUID); err != nil {
		t.Fatal(err)
	}
	return path
}

// onLaptop is an HTTP client on the laptop.
var onLaptop *http.Client

// get fetches a URL on the laptop, and gives the body or what went wrong.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A connection of its own, as curl would open one.
	req.Close = true
	resp, err := onLaptop.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, body.String()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
