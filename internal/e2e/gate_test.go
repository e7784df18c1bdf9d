//go:build lab

package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// gate holds a session between the runner's look at the port and the start of the
// server: its --setup tells the port, and waits until the test lets it go on.
type gate struct {
	t    *testing.T
	fifo *os.File
}

// gateSetup is what goes after --setup. A read on a pipe that somebody has open for
// writing waits for as long as it takes.
const gateSetup = "echo $PORT >>~/gate/ports; read -r _ <~/gate/open"

func newGate(t *testing.T) *gate {
	t.Helper()
	path := mkdir(t, clusterHome("gate")) + "/open"
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, labctl.AliceUID, labctl.AliceUID); err != nil {
		t.Fatal(err)
	}
	// For both, so that the opening waits for nobody.
	fifo, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fifo.Close() })
	return &gate{t: t, fifo: fifo}
}

// reached waits until a server is about to be started for the n-th time, and gives the
// port that it is told.
func (g *gate) reached(n int) (port string) {
	g.t.Helper()
	var ports []string
	if left := poll(patience, func() string {
		text, _ := os.ReadFile(clusterHome("gate/ports"))
		ports = strings.Fields(string(text))
		if len(ports) < n || !strings.HasSuffix(string(text), "\n") {
			return "started " + strings.Join(ports, ", ")
		}
		return ""
	}); left != "" {
		g.t.Fatalf("want start number %d; %s", n, left)
	}
	return ports[n-1]
}

// pass lets one start go on.
func (g *gate) pass() {
	g.t.Helper()
	if _, err := g.fifo.WriteString("\n"); err != nil {
		g.t.Fatal(err)
	}
}
