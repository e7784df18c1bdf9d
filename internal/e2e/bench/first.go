//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// firstAnswer measures, for cscs and by hand, the time from the command to the first HTTP 200 on the
// laptop, the time from the grant to the server's process, and the RPCs to slurmctld.
func (b *bench) firstAnswer(ctx context.Context, r record) error {
	for round := range b.rounds {
		for _, side := range []struct {
			name string
			do   func(context.Context) (timing, error)
		}{{"cscs", b.byCSCS}, {"by hand", b.byHand}} {
			if err := b.awaitQuiet(ctx); err != nil {
				return err
			}
			before, err := b.countRPCs(ctx)
			if err != nil {
				return err
			}
			t, err := side.do(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
			after, err := b.countRPCs(ctx)
			if err != nil {
				return err
			}
			if err := r.writeResult(side.name, round, t.answer.Seconds(), "s"); err != nil {
				return err
			}
			server := record{b, "grant-to-server", r.rtt}
			if err := server.writeResult(side.name, round, t.server.Seconds(), "s"); err != nil {
				return err
			}
			if err := (record{b, "rpcs", r.rtt}).writeResult(side.name, round, float64(after-before), "RPCs"); err != nil {
				return err
			}
		}
	}
	return nil
}

type timing struct {
	answer time.Duration // from the command to the first HTTP 200
	server time.Duration // from the grant to the server's process
}

// byCSCS runs a session of cscs and returns its times.
func (b *bench) byCSCS(ctx context.Context) (timing, error) {
	s, err := b.startSession(ctx, "6007", "python3", "-m", "http.server", "{port}", "--bind", "127.0.0.1")
	if err != nil {
		return timing{}, err
	}
	began, err := s.readStartTime()
	if err != nil {
		return timing{}, err
	}
	if err := s.awaitReady(); err != nil {
		return timing{}, err
	}
	if err := b.getURL(ctx, s.url); err != nil {
		return timing{}, err
	}
	t := timing{answer: time.Since(began)}
	t.server, err = b.grantToServer(ctx, s.job)
	if err != nil {
		return timing{}, err
	}
	return t, s.stop()
}

// requestURL requests url on the laptop over a new connection. The caller closes the body.
func (b *bench) requestURL(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	return b.Client("laptop").Do(req)
}

// getURL is requestURL without the answer. Any status but 200 is an error.
func (b *bench) getURL(ctx context.Context, url string) error {
	resp, err := b.requestURL(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return nil
}

// byHand runs the recipe by hand and returns its times.
func (b *bench) byHand(ctx context.Context) (timing, error) {
	c := b.As(ctx, "alice", "laptop", "bash", "-c", byHandScript, "bash", "6007",
		"python3", "-m", "http.server", "6007", "--bind", "127.0.0.1")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return timing{}, err
	}
	seen, err := c.StdinPipe()
	if err != nil {
		return timing{}, err
	}
	if err := c.Start(); err != nil {
		return timing{}, err
	}
	var t timing
	var began time.Time
	var job string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "began":
			began, err = parseEpoch(rest)
		case "job":
			job, _, _ = strings.Cut(rest, " ")
		case "answered":
			var answered time.Time
			answered, err = parseEpoch(rest)
			t.answer = answered.Sub(began)
			if err == nil {
				t.server, err = b.grantToServer(ctx, job)
			}
			_ = seen.Close()
		}
		if err != nil {
			return timing{}, err
		}
	}
	if err := c.Wait(); err != nil {
		return timing{}, fmt.Errorf("the recipe by hand: %w", err)
	}
	return t, nil
}

// allocationLine matches slurmctld's log line for a request of salloc that it has granted, or for a batch
// job that one of its schedulers has started.
var allocationLine = regexp.MustCompile(`(?m)^\[(\S+)\] .*(?:_slurm_rpc_allocate_resources|Allocate|Started) JobId=(\d+) .*nid`)

// grantToServer returns the time from slurmctld's decision, as in its log, to the start of the server's
// process, as in the node's kernel. The server must be running.
func (b *bench) grantToServer(ctx context.Context, job string) (time.Duration, error) {
	log, err := b.As(ctx, "root", "ctl", "tail", "-n", "2000", "/var/log/slurm/slurmctld.log").Output()
	if err != nil {
		return 0, fmt.Errorf("read slurmctld's log: %w", err)
	}
	var grantedAt time.Time
	for _, m := range allocationLine.FindAllStringSubmatch(string(log), -1) {
		if m[2] == job {
			if grantedAt, err = time.ParseInLocation("2006-01-02T15:04:05.000", m[1], time.Local); err != nil {
				return 0, err
			}
		}
	}
	if grantedAt.IsZero() {
		return 0, fmt.Errorf("slurmctld's log does not tell when job %s was granted", job)
	}
	started, err := b.serverStart()
	if err != nil {
		return 0, err
	}
	return started.Sub(grantedAt), nil
}

// serverStart returns when alice's python3 http.server was started.
func (b *bench) serverStart() (time.Time, error) {
	var real, boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &real); err != nil {
		return time.Time{}, err
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return time.Time{}, err
	}
	booted := time.Unix(real.Unix()).Add(-time.Duration(boot.Nano()))
	var newest time.Time
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		// srun gives a command its full path as its name.
		if name, args, _ := strings.Cut(string(cmdline), "\x00"); filepath.Base(name) != "python3" ||
			!strings.HasPrefix(args, "-m\x00http.server") || !b.onNode(dir) {
			continue
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat)[strings.LastIndex(string(stat), ")")+1:])
		var ticks int64
		if _, err := fmt.Sscan(fields[19], &ticks); err != nil {
			return time.Time{}, err
		}
		// USER_HZ is 100 on the architectures that the lab runs on.
		if t := booted.Add(time.Duration(ticks) * 10 * time.Millisecond); t.After(newest) {
			newest = t
		}
	}
	if newest.IsZero() {
		return time.Time{}, fmt.Errorf("the server's process is not there")
	}
	return newest, nil
}

// onNode reports whether a process is on one of this lab's compute nodes.
func (b *bench) onNode(dir string) bool {
	ns, err := os.Readlink(dir + "/ns/uts")
	if err != nil {
		return false
	}
	for _, node := range b.Nodes {
		if of, err := os.Readlink("/proc/" + b.HostPID(node) + "/ns/uts"); err == nil && of == ns {
			return true
		}
	}
	return false
}

var userRPCCount = regexp.MustCompile(`(?m)^\s+alice\s+\(\s*2001\) count:(\d+)`)

// countRPCs returns the number of alice's RPCs to slurmctld so far.
func (b *bench) countRPCs(ctx context.Context) (int, error) {
	out, err := b.As(ctx, "root", "ctl", "sdiag").Output()
	if err != nil {
		return 0, fmt.Errorf("sdiag: %w", err)
	}
	n := 0
	if m := userRPCCount.FindSubmatch(out); m != nil {
		_, _ = fmt.Sscan(string(m[1]), &n)
	}
	return n, nil
}
