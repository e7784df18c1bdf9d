//go:build linux

// Package labctl is the way into a running lab for Go programs: the end-to-end
// tests and the measuring program. Everything that the lab does, scripts/lab
// does; this package calls it, and adds what a script cannot give: a connection
// that begins on one of the lab's hosts and ends in this process.
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

// A Lab is one that is up.
type Lab struct {
	script string
	Env    map[string]string // what scripts/lab env tells
	Hosts  []string          // laptop ela daint ctl nid001001 …
	Nodes  []string          // the compute nodes
}

// Open finds the lab of the script's CSCS_LAB_RUN.
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

// Command is scripts/lab with these arguments.
func (l *Lab) Command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, l.script, args...)
	c.WaitDelay = 5 * time.Second
	return c
}

// As gives the command that runs argv as a user on a host; "root" is one, too.
// VAR=VALUE words before the command set its environment. A signal to it is a
// signal to the command itself.
func (l *Lab) As(ctx context.Context, user, host string, argv ...string) *exec.Cmd {
	if user == "root" {
		return l.Command(ctx, append([]string{"in", host}, argv...)...)
	}
	return l.Command(ctx, append([]string{"as", user, host}, argv...)...)
}

// HostPID is the first process of a host, as this machine numbers it; it
// changes when the host is booted.
func (l *Lab) HostPID(host string) string {
	pid, _ := os.ReadFile(filepath.Join(l.Env["LAB_RUN"], "hosts", host, "pid"))
	return strings.TrimSpace(string(pid))
}

// Path is a file of a host, as this machine sees it.
func (l *Lab) Path(host, path string) string {
	return "/proc/" + l.HostPID(host) + "/root" + path
}

// Dial opens a connection from a host to an address in figures, as alice. A socket belongs to the
// network and to the file system user of the thread that made it, so only the making is done there.
func (l *Lab) Dial(ctx context.Context, host, addr string) (c net.Conn, err error) {
	err = l.inNet(host, func() error {
		if err := unix.Setfsuid(AliceUID); err != nil {
			return err
		}
		defer func() { _ = unix.Setfsuid(os.Getuid()) }()
		// An address in figures is dialled by this very goroutine.
		c, err = (&net.Dialer{Timeout: 10 * time.Second, FallbackDelay: -1}).DialContext(ctx, "tcp", addr)
		return err
	})
	return c, err
}

// Client is an HTTP client on a host.
func (l *Lab) Client(host string) *http.Client {
	return &http.Client{
		Timeout: 2 * time.Minute,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return l.Dial(ctx, host, addr) },
		},
	}
}

// inNet calls f on a thread that is in the network of a host.
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
