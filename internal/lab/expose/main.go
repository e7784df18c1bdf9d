//go:build linux

// Command expose makes a port of the lab's laptop answer on this machine too, so that its user can
// open the laptop's URL in a browser.
//
//	expose SCRIPTS/LAB PORT
//
// It listens on the loopback only, until it is interrupted.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := exposePort(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "expose:", err)
		os.Exit(1)
	}
}

func exposePort(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: expose SCRIPTS/LAB PORT")
	}
	port, err := strconv.Atoi(args[1])
	if err != nil || port < 1 || port > 65535 {
		return fmt.Errorf("no port: %q", args[1])
	}
	lab, err := labctl.Open(ctx, args[0])
	if err != nil {
		return err
	}
	l, err := forward.Listen(port)
	if err != nil {
		return err
	}
	l.SetTarget(func(ctx context.Context) (net.Conn, error) {
		return lab.Dial(ctx, "laptop", net.JoinHostPort("127.0.0.1", args[1]))
	})
	return l.Serve(ctx)
}
