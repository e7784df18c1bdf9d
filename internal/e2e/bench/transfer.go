//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	downloadSize     = 256 << 20 // one large download
	parallelRequests = 100       // each on a connection of its own
	openConns        = 100       // open at once, for the memory
	sshPort          = 6107      // OpenSSH's local port
)

// measureTransfers measures transfers through a ready session, and through OpenSSH's forward to the same
// server.
func (b *bench) measureTransfers(ctx context.Context, r record) error {
	if err := b.awaitQuiet(ctx); err != nil {
		return err
	}
	s, err := b.startTestServer(ctx)
	if err != nil {
		return err
	}
	node, err := b.As(ctx, "root", "daint", "squeue", "-h", "-j", s.job, "-o", "%N").Output()
	if err != nil {
		return err
	}
	tunnel := b.As(ctx, "alice", "laptop", "ssh", "-F", "/home/alice/bench-ssh", "-N", "-L", fmt.Sprintf("%d:127.0.0.1:6007", sshPort),
		strings.TrimSpace(string(node)))
	if err := tunnel.Start(); err != nil {
		return err
	}
	defer func() { _ = tunnel.Wait() }()
	defer func() { _ = tunnel.Process.Signal(syscall.SIGTERM) }()
	if err := b.awaitAnswer(ctx, fmt.Sprintf("http://127.0.0.1:%d/", sshPort)); err != nil {
		return err
	}
	sides := []side{{"cscs", s.port, filepath.Base(b.cscs)}, {"ssh -L", sshPort, "ssh"}}
	for round := range 2 * b.rounds {
		for _, side := range sides {
			if err := b.measureTransferRound(ctx, r, side, round); err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
		}
	}
	if r.rtt == 0 {
		for _, side := range sides {
			if err := b.measureMemory(ctx, r, side); err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
		}
	}
	return s.stop()
}

type side struct {
	name string
	port int
	exe  string
}

// awaitAnswer requests url until it answers, for 30 s at most.
func (b *bench) awaitAnswer(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := b.getURL(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// measureTransferRound measures one download and one set of parallel requests.
func (b *bench) measureTransferRound(ctx context.Context, r record, s side, round int) error {
	began := time.Now()
	if err := b.downloadBytes(ctx, s.port, downloadSize); err != nil {
		return err
	}
	mb := downloadSize / 1e6 / time.Since(began).Seconds()
	if err := (record{b, "download", r.rtt}).writeResult(s.name, round, mb, "MB/s"); err != nil {
		return err
	}
	began = time.Now()
	var wg sync.WaitGroup
	errs := make([]error, parallelRequests)
	for i := range parallelRequests {
		wg.Go(func() { errs[i] = b.downloadBytes(ctx, s.port, 1000) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return record{b, "100-requests", r.rtt}.writeResult(s.name, round, time.Since(began).Seconds(), "s")
}

// downloadBytes downloads n bytes over a new connection.
func (b *bench) downloadBytes(ctx context.Context, port int, n int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/download?n=%d", port, n), nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := b.Client("laptop").Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if got, err := io.Copy(io.Discard, resp.Body); err != nil || got != int64(n) {
		return fmt.Errorf("%d of %d bytes: %w", got, n, err)
	}
	return nil
}

// measureMemory measures the resident memory of a side's processes on the laptop with openConns open
// connections, all of which have carried data. ssh has one process for each hop.
func (b *bench) measureMemory(ctx context.Context, r record, s side) error {
	conns := make([]net.Conn, 0, openConns)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for range openConns {
		c, err := b.Dial(ctx, "laptop", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err != nil {
			return err
		}
		conns = append(conns, c)
		if _, err := io.WriteString(c, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
			return err
		}
		if _, err := c.Read(make([]byte, 200)); err != nil {
			return err
		}
	}
	kib := 0
	for _, dir := range b.onLaptop(s.exe) {
		status, err := os.ReadFile(dir + "/status")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); f[0] == "VmRSS:" {
				n, err := strconv.Atoi(f[1])
				if err != nil {
					return err
				}
				kib += n
			}
		}
	}
	if kib == 0 {
		return fmt.Errorf("no process %s on the laptop", s.exe)
	}
	return record{b, "memory", r.rtt}.writeResult(s.name, 0, float64(kib)/1024, "MiB")
}

// onLaptop returns the processes of a program on the laptop, as directories of /proc.
func (b *bench) onLaptop(program string) []string {
	laptop, _ := os.Readlink("/proc/" + b.HostPID("laptop") + "/ns/uts")
	var found []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		ns, errNS := os.Readlink(dir + "/ns/uts")
		exe, errExe := os.Readlink(dir + "/exe")
		if errNS == nil && errExe == nil && ns == laptop && filepath.Base(exe) == program {
			found = append(found, dir)
		}
	}
	return found
}

// measureVersion measures "cscs version" with the binary in the page cache, and with it only on the disk.
func (b *bench) measureVersion(ctx context.Context, r record) error {
	for round := range 4 * b.rounds {
		for _, cold := range []bool{true, false} {
			name := "cscs"
			if cold {
				name = "cscs, not in the page cache"
				if err := evictFromCache(b.cscs); err != nil {
					return err
				}
			}
			d, err := b.timeCommand(ctx, b.cscs, "version")
			if err != nil {
				return err
			}
			if err := r.writeResult(name, round, d.Seconds()*1000, "ms"); err != nil {
				return err
			}
		}
		if d, err := b.timeCommand(ctx, "ssh", "-V"); err != nil {
			return err
		} else if err := r.writeResult("ssh -V", round, d.Seconds()*1000, "ms"); err != nil {
			return err
		}
	}
	return nil
}

// evictFromCache makes the kernel drop a file from the page cache.
func evictFromCache(path string) error {
	if out, err := exec.CommandContext(context.Background(), "sync", path).CombinedOutput(); err != nil {
		return fmt.Errorf("sync: %w: %s", err, out)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
