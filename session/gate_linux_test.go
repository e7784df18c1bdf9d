package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward"
	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/slurm"
)

const nobody = 65534

// A foreignServer is a server of another user on the node, which is this machine.
type foreignServer struct {
	port int
	got  *bufio.Scanner // how many bytes each connection brought
	stop func()
}

// newForeignServer listens at a port of 127.0.0.1; 0 is a free one.
func newForeignServer(t *testing.T, port int) *foreignServer {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test must run as root, as scripts/test does: it needs a process of another user")
	}
	cmd := exec.Command("/proc/self/exe") // the test binary lies where others cannot go
	cmd.Env = append(os.Environ(), foreignServerEnv+"=127.0.0.1:"+strconv.Itoa(port))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &foreignServer{got: bufio.NewScanner(out), stop: sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})}
	t.Cleanup(s.stop)
	if !s.got.Scan() {
		t.Fatalf("the other user's server does not listen: %v", s.got.Err())
	}
	addr, err := netip.ParseAddrPort(s.got.Text())
	if err != nil {
		t.Fatal(err)
	}
	s.port = int(addr.Port())
	return s
}

// connectThrough opens a connection through the gate and sends a byte if that is let through.
func connectThrough(t *testing.T, to forward.Target) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := to(ctx)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c, "x")
	return errors.Join(err, c.Close())
}

// A connection is handed on only when the listener at its end is seen to be the user's own, at the
// address that was seen before (invariant I5). Another user who has taken the port gets no byte. It is not
// parallel: a process that another test starts has a copy of the listener for a moment after it is closed.
func TestGate(t *testing.T) {
	a := newAlps(t)
	node, err := chain.Dial(t.Context(), append(a.hops(), a.nodeHop("nid001001", nil)), chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	p := &ports{t: t}
	ours := p.open("127.0.0.1:0", answers)
	addr := ours.ln.Addr().String()
	g := nodeDialer{node: node, name: "nid001001", portMonitor: slurm.NewPortMonitor(ours.port, time.Hour)}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() { _ = g.portMonitor.Run(ctx, node, func(slurm.Listener) error { return nil }) })

	if err := connectThrough(t, g.newTarget(ours.port, addr)); err != nil {
		t.Errorf("the user's own: %v", err)
	}
	_ = ours.ln.Close()
	var nothing *NothingListensError
	var unopened *chain.OpenError
	if err := connectThrough(t, g.newTarget(ours.port, addr)); !errors.As(err, &unopened) {
		t.Errorf("nothing there: %v", err)
	}

	s := newForeignServer(t, ours.port)
	var foreign *NotYoursError
	if err := connectThrough(t, g.newTarget(s.port, addr)); !errors.As(err, &foreign) || foreign.Port != s.port || foreign.Owner != "nobody" || foreign.Node != "nid001001" {
		t.Errorf("another user's: %v", err)
	}
	// The user's own beside it is another address: the connection led to the other user.
	p.open(fmt.Sprintf("127.0.0.2:%d", s.port), answers)
	if err := connectThrough(t, g.newTarget(s.port, addr)); !errors.As(err, &nothing) || nothing.Port != s.port {
		t.Errorf("another user's beside one of ours: %v", err)
	}
	for range 2 {
		if !s.got.Scan() || s.got.Text() != "0" {
			t.Errorf("the other user got %q bytes, %v", s.got.Text(), s.got.Err())
		}
	}
}

// A tunnel refuses what is another user's, and what is open to other hosts (invariants I4 and I5).
func TestTunnelRefuses(t *testing.T) {
	for _, tt := range []struct {
		seen  slurm.Listener
		owner string // of the NotYoursError
		bound string // likewise
	}{
		{slurm.Listener{Verdict: "foreign", Owner: "mallory"}, "mallory", ""},
		{slurm.Listener{Verdict: "wide", Addr: "127.0.0.1:6006", Bound: "0.0.0.0"}, "", "0.0.0.0"},
	} {
		for _, ready := range []bool{false, true} {
			tn := &tunnel{cfg: TunnelConfig{Port: 6006}}
			tn.node.name, tn.server.ready = "nid001001", ready
			var foreign *NotYoursError
			if err := tn.handleListener(t.Context(), tt.seen); !errors.As(err, &foreign) || foreign.Owner != tt.owner || foreign.Bound != tt.bound || foreign.Port != 6006 {
				t.Errorf("%+v: %v", tt.seen, err)
			}
			if tn.server.listening != nil {
				t.Errorf("%+v: it is forwarded to %+v", tt.seen, tn.server.listening)
			}
		}
	}
	tn := &tunnel{cfg: TunnelConfig{Port: 6006}}
	var nothing *NothingListensError
	if err := tn.handleListener(t.Context(), slurm.Listener{Verdict: "none"}); !errors.As(err, &nothing) {
		t.Errorf("nothing there: %v", err)
	}
}

// The node's host keys are those that the runner has read there, and no others (invariant I7).
func TestNodeKeysAreTheRunners(t *testing.T) {
	t.Parallel()
	a := newAlps(t)
	cfg := a.config()
	pinned := make(chan chain.HostKeys, 10)
	cfg.NodeHop = func(node string, keys chain.HostKeys) chain.Hop {
		pinned <- keys
		return a.nodeHop(node, keys)
	}
	l := a.start(cfg)
	l.await(EventReady)
	runner, err := slurm.FindRunner(t.Context(), a, cfg.ID)
	if err != nil || len(runner.HostKeys) == 0 {
		t.Fatalf("the runner has read %v, %v", runner.HostKeys, err)
	}
	<-pinned // of the address, which is dialled before the runner has read any
	keys := <-pinned
	for _, line := range runner.HostKeys {
		if line == slurmtest.HostKey {
			continue // sshd has shown it later: it is for a dial that meets another key
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.Check(t.Context(), "nid001001", nil, key); err != nil {
			t.Errorf("a key that the runner has read: %v", err)
		}
	}
	var changed *chain.HostKeyError
	for _, other := range []ssh.PublicKey{sshtest.NewKey(t).PublicKey(), a.node.HostKey(), a.login.HostKey()} {
		if err := keys.Check(t.Context(), "nid001001", nil, other); !errors.As(err, &changed) || changed.Kind != chain.HostKeyChanged {
			t.Errorf("another key: %v", err)
		}
	}
	l.endReady()
	a.nothingLeft()
}
