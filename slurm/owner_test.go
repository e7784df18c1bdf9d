package slurm

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

// TestPortOwnerWithoutArguments: the process that has the port is named, but not with its arguments: they may
// hold a token, and the event is stored and printed (invariant I6).
func TestPortOwnerWithoutArguments(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	const serve = "import http.server,sys\ns=http.server.HTTPServer(('127.0.0.1',0),http.server.BaseHTTPRequestHandler)\nprint(s.server_port,flush=True)\ns.serve_forever()"
	cmd := exec.CommandContext(t.Context(), "python3", "-c", serve, "--token=s3cretToken")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	port := 0
	if _, err := fmt.Fscan(out, &port); err != nil {
		t.Fatal(err)
	}
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Port: port, Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
	r.wait()
	x := r.outcome.Exited
	if x == nil || x.Reason != "port" || !strings.Contains(x.Message, strconv.Itoa(cmd.Process.Pid)) || !strings.Contains(x.Message, "python3") {
		t.Fatalf("ended with %+v", x)
	}
	if strings.Contains(x.Message, "s3cret") || strings.Contains(x.Message, "http.server") {
		t.Errorf("the event has arguments of the process: %s", x.Message)
	}
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}
