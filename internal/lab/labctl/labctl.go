//go:build linux

// Package labctl gives Go programs access to a running lab: the end-to-end tests and the benchmarks.
// It calls scripts/lab, and adds what a script cannot give: a connection that begins on a host of the
// lab and ends in this process.
package labctl

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The users of the lab.
const (
	AliceUID   = 2001
	MalloryUID = 2002
)

// A Lab is a running lab.
type Lab struct {
	script string
	Env    map[string]string // the output of scripts/lab env
	Hosts  []string          // laptop ela daint ctl nid001001 …
	Nodes  []string          // the compute nodes
}

// Open opens the lab of the script's CSCS_LAB_RUN.
func Open(ctx context.Context, script string) (*Lab, error) {
	out, err := exec.CommandContext(ctx, "bash", "-c", `set -aeu; out=$("$0" env); eval "$out"; env -0`, script).Output()
	if err != nil {
		return nil, fmt.Errorf("scripts/lab env (is the lab up?): %w", err)
	}
	l := &Lab{script: script, Env: map[string]string{}}
	for entry := range bytes.SplitSeq(out, []byte{0}) {
		name, value, _ := strings.Cut(string(entry), "=")
		l.Env[name] = value
	}
	l.Hosts = strings.Fields(l.Env["LAB_HOSTS"])
	l.Nodes = strings.Fields(l.Env["LAB_NODES"])
	return l, nil
}

// Command returns the command scripts/lab with these arguments.
func (l *Lab) Command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, l.script, args...)
	c.WaitDelay = 5 * time.Second
	return c
}

// As returns the command that runs argv as a user on a host. The user may be "root". VAR=VALUE words
// before the command set its environment. A signal to the returned command reaches argv.
func (l *Lab) As(ctx context.Context, user, host string, argv ...string) *exec.Cmd {
	if user == "root" {
		return l.Command(ctx, append([]string{"in", host}, argv...)...)
	}
	return l.Command(ctx, append([]string{"as", user, host}, argv...)...)
}

// HostPID returns the host's first process in this machine's numbering. It changes when the host
// boots.
func (l *Lab) HostPID(host string) string {
	pid, _ := os.ReadFile(filepath.Join(l.Env["LAB_RUN"], "hosts", host, "pid"))
	return strings.TrimSpace(string(pid))
}

// Path returns the path of a host's file on this machine.
func (l *Lab) Path(host, path string) string {
	return "/proc/" + l.HostPID(host) + "/root" + path
}

// Dial opens a connection from a host to a numeric address, as alice. A socket belongs to the network
// namespace and the file system user of the thread that makes it, so only its creation runs there.
func (l *Lab) Dial(ctx context.Context, host, addr string) (c net.Conn, err error) {
	err = l.inNet(host, func() error {
		if err := unix.Setfsuid(AliceUID); err != nil {
			return err
		}
		defer func() { _ = unix.Setfsuid(os.Getuid()) }()
		// DialContext dials a numeric address in this goroutine.
		c, err = (&net.Dialer{Timeout: 10 * time.Second, FallbackDelay: -1}).DialContext(ctx, "tcp", addr)
		return err
	})
	return c, err
}

// Client returns an HTTP client whose connections begin on a host.
func (l *Lab) Client(host string) *http.Client {
	return &http.Client{
		Timeout: 2 * time.Minute,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return l.Dial(ctx, host, addr) },
		},
	}
}

// inNet calls f on a thread in the network namespace of a host.
func (l *Lab) inNet(host string, f func() error) error {
	runtime.LockOSThread()
	lost := false
	defer func() {
		if !lost {
			runtime.UnlockOSThread()
		}
	}()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer func() { _ = home.Close() }()
	there, err := os.Open("/proc/" + l.HostPID(host) + "/ns/net")
	if err != nil {
		return fmt.Errorf("network of %s: %w", host, err)
	}
	defer func() { _ = there.Close() }()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network of %s: %w", host, err)
	}
	err = f()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked, so it ends with its goroutine.
		lost = true
		panic(err)
	}
	return err
}
