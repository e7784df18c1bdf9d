//go:build lab

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// here is the world of the lab's tests.
var here world = labWorld{}

// labWorld is the lab, in which alice is the user.
type labWorld struct{}

func (labWorld) begin(t *testing.T) { begin(t) }
func (labWorld) cluster() string    { return "daint" }
func (labWorld) server() string     { return lab.testserver }

func (labWorld) command(ctx context.Context, words ...string) *exec.Cmd {
	n := 0
	for n < len(words) && strings.Contains(words[n], "=") {
		n++
	}
	argv := append(append(append([]string(nil), words[:n]...), lab.bin), words[n:]...)
	return as(ctx, "alice", "laptop", argv...)
}

func (labWorld) get(t *testing.T, url string, headers ...string) (int, string) {
	if len(headers) == 0 {
		return get(t, url)
	}
	// What looks at who asks must see alice.
	var options []string
	for _, h := range headers {
		options = append(options, "-H", h)
	}
	head, body := curl(t, "alice", url, options...)
	var code int
	_, _ = fmt.Sscanf(head, "HTTP/1.1 %d", &code)
	return code, body
}
func (labWorld) jobs(t *testing.T) string        { return aliceJobs(t) }
func (labWorld) occupy(t *testing.T) func()      { return full(t) }
func (labWorld) cancel(t *testing.T, job string) { output(t, "root", "daint", "scancel", job) }
func (labWorld) expire(*testing.T, string)       {} // Slurm's own clock does it
func (labWorld) cut(t *testing.T)                { cut(t) }
func (labWorld) heal(t *testing.T)               { tell(t, "heal") }
func (labWorld) scratch(*testing.T) string       { return "/tmp/another" }
