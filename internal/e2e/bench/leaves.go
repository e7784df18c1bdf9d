//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
)

// leaveByHand is a session by hand in a terminal of the login node: salloc runs srun. It ends as with
// Ctrl-C. It prints the process ID of srun.
const leaveByHand = `exec salloc -J byhand -t 10 bash -c 'echo "srun $$"; exec srun python3 -m http.server 6007 --bind 127.0.0.1 2>&1'`

// measureJobEnd measures the time from Ctrl-C until squeue does not show the job any more.
func (b *bench) measureJobEnd(ctx context.Context, r record) error {
	for round := range b.rounds {
		for _, side := range []struct {
			name string
			end  func(context.Context) (func() error, error)
		}{{"cscs", b.byCSCSUntilReady}, {"by hand", b.byHandUntilReady}} {
			if err := b.awaitQuiet(ctx); err != nil {
				return err
			}
			end, err := side.end(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
			began := time.Now()
			ended := make(chan error, 1)
			go func() { ended <- end() }()
			if err := b.awaitEmpty(ctx); err != nil {
				return err
			}
			took := time.Since(began)
			if err := <-ended; err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
			if err := r.writeResult(side.name, round, took.Seconds(), "s"); err != nil {
				return err
			}
		}
	}
	return nil
}

// byCSCSUntilReady starts a session and returns a function that ends it.
func (b *bench) byCSCSUntilReady(ctx context.Context) (end func() error, err error) {
	s, err := b.startTestServer(ctx)
	if err != nil {
		return nil, err
	}
	return s.stop, nil
}

// byHandUntilReady starts the recipe's session and returns a function that ends it.
func (b *bench) byHandUntilReady(ctx context.Context) (end func() error, err error) {
	c := b.As(ctx, "alice", "daint", "bash", "-c", leaveByHand)
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	var srun string
	for srun == "" && lines.Scan() {
		if pid, ok := strings.CutPrefix(lines.Text(), "srun "); ok {
			srun = pid
		}
	}
	for { // until the server's process exists
		if _, err := b.serverStart(); err == nil {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	interrupt := func() error {
		out, err := b.As(ctx, "alice", "daint", "kill", "-INT", srun).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	return func() error {
		// Twice within a second: srun answers the first SIGINT with its status (srun(1)). salloc ends with
		// its command.
		if err := interrupt(); err != nil {
			return err
		}
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "srun: interrupt") {
			// output of the server
		}
		if err := interrupt(); err != nil {
			return err
		}
		for lines.Scan() {
			// srun reports how the server ended.
		}
		_ = c.Wait() // its error is the server's exit status
		return nil
	}, nil
}

// awaitEmpty waits until squeue shows no job.
func (b *bench) awaitEmpty(ctx context.Context) error {
	for {
		out, err := b.As(ctx, "root", "daint", "squeue", "-a", "-h").CombinedOutput()
		if err == nil && len(bytes.TrimSpace(out)) == 0 {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the queue does not empty: %s", out)
		}
	}
}
