//go:build linux || darwin

package share

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// realSite is one of OpenSSH's servers, for what only that can show.
func realSite(t testing.TB, options ...string) (*sshtest.SSHD, *site) {
	t.Helper()
	key := sshtest.NewKey(t)
	options = append(options, "SetEnv HOME=/nonexistent") // bash would read a .bashrc there, which may have much to say
	server := sshtest.StartSSHD(t, sshtest.SSHDConfig{Keys: []ssh.PublicKey{key.PublicKey()}, Options: options})
	return server, &site{place: newPlace(t, "daint"), hops: []chain.Hop{{
		Name: "daint", Addr: server.Addr, User: server.User, Signer: key, HostKeys: chain.PinnedKeys(server.HostKeys...),
	}}}
}

func TestOpenSSH(t *testing.T) {
	_, s := realSite(t)
	_, sharer := s.pair(t)
	for _, tt := range []struct {
		command, stdin, stdout, stderr string
		status                         int
		signal                         string
	}{
		{"echo hello; echo oh >&2; exit 3", "", "hello\n", "oh\n", 3, ""},
		{"cat", "some text", "some text", "", 0, ""},
		{"echo $HOME", "", "/nonexistent\n", "", 0, ""},
		{"kill -TERM $$", "", "", "", 128 + 15, "TERM"},
		{"head -c 3000000 /dev/zero | tr '\\0' x", "", strings.Repeat("x", 3000000), "", 0, ""},
		{"head -c 3000000 /dev/zero | tr '\\0' x >&2", "", "", strings.Repeat("x", 3000000), 0, ""},
	} {
		var out, errOut bytes.Buffer
		err := sharer.Exec(t.Context(), tt.command, strings.NewReader(tt.stdin), &out, &errOut)
		var exit *ssh.ExitError
		if tt.status == 0 && err != nil ||
			tt.status != 0 && (!errors.As(err, &exit) || exit.ExitStatus() != tt.status || exit.Signal() != tt.signal) {
			t.Errorf("%s: %v", tt.command, err)
		}
		if out.String() != tt.stdout || errOut.String() != tt.stderr {
			t.Errorf("%s: stdout %d bytes, stderr %d bytes: %.500q", tt.command, out.Len(), errOut.Len(), errOut.String())
		}
	}
	var tasks sync.WaitGroup
	addr := sshtest.ServeTCP(t, echo)
	for i := range 100 {
		tasks.Go(func() {
			if err := roundTrip(t.Context(), sharer, addr, pattern(50000+i)); err != nil {
				t.Error(err)
			}
		})
	}
	tasks.Wait()
}

// TestMaxSessions: commands for which a connection has no place get another, which is
// shared too: three processes with two commands each need three connections that take two.
func TestMaxSessions(t *testing.T) {
	server, s := realSite(t, "MaxSessions 2")
	all := []*Chain{s.share(t, chain.Options{}), s.share(t, chain.Options{}), s.share(t, chain.Options{})}
	type command struct {
		stdin *io.PipeWriter
		ran   chan error
	}
	var commands []command
	for i := range 6 {
		stdin, keep := io.Pipe()
		output, stdout := io.Pipe()
		c := command{keep, make(chan error, 1)}
		go func() { c.ran <- all[i%3].Exec(t.Context(), "echo on; cat", stdin, stdout, nil); _ = stdout.Close() }()
		if text, err := io.ReadAll(io.LimitReader(output, 3)); err != nil || string(text) != "on\n" {
			t.Fatalf("command %d: %q, %v, %v", i, text, err, <-c.ran)
		}
		commands = append(commands, c)
	}
	if n := server.Conns(); n != 3 || s.dials.Load() != 3 {
		t.Errorf("%d connections, %d dials", n, s.dials.Load())
	}
	// Connections are not counted.
	if err := roundTrip(t.Context(), all[2], sshtest.ServeTCP(t, echo), pattern(100)); err != nil {
		t.Error(err)
	}
	for _, c := range commands {
		_ = c.stdin.Close()
		if err := waittest.Receive(t, patience, "a command", c.ran); err != nil {
			t.Error(err)
		}
	}
	for _, c := range all {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "no connection is left", func() bool { return server.Conns() == 0 })
}

// hold has a command run until it is released.
func hold(t *testing.T, c *Chain) (release func()) {
	t.Helper()
	stdin, keep := io.Pipe()
	output, stdout := io.Pipe()
	ran := make(chan error, 1)
	go func() { ran <- c.Exec(t.Context(), "echo on; cat", stdin, stdout, nil); _ = stdout.Close() }()
	if text, err := io.ReadAll(io.LimitReader(output, 3)); err != nil || string(text) != "on\n" {
		t.Fatalf("%q, %v", text, err)
	}
	return func() { _ = keep.Close(); _ = waittest.Receive(t, patience, "a command", ran) }
}

// TestFurtherLost: a process is told of the loss of whatever it runs commands on.
func TestFurtherLost(t *testing.T) {
	_, s := realSite(t, "MaxSessions 1")
	owner, sharer := s.pair(t)
	defer hold(t, sharer)()
	defer hold(t, owner)()
	if sharer.nextChain() != nil || owner.nextChain() == nil {
		t.Fatal("the owner's command runs elsewhere than it should")
	}
	defer hold(t, sharer)()
	_ = owner.nextChain().Chain.Close()
	waittest.Receive(t, patience, "the owner's end", owner.Done())
	waittest.Receive(t, patience, "the sharer's end", sharer.Done())
	for _, c := range []*Chain{owner, sharer} {
		if c.Chain.Err() != nil {
			t.Errorf("the first connection ended, too: %v", c.Chain.Err())
		}
	}
	waittest.Receive(t, patience, "the sharer is asked to leave", sharer.Leaving())
	s.pair(t) // the place is free
}

// TestFurtherLeaves: who runs commands on another's further connection is asked to dial anew when
// that one leaves, and does not join itself.
func TestFurtherLeaves(t *testing.T) {
	_, s := realSite(t, "MaxSessions 1")
	owner, sharer := s.pair(t)
	defer hold(t, s.share(t, chain.Options{}))()
	hold(t, sharer)() // on a further connection, which is its own
	release := hold(t, owner)
	if next := owner.nextChain(); next == nil || !next.Joined() {
		t.Fatal("the owner's command does not run on the sharer's connection")
	}
	left := make(chan int, 1)
	go func() { left <- sharer.Leave(t.Context()) }()
	waittest.Receive(t, patience, "the owner is asked to dial anew", owner.Leaving())
	if c := s.share(t, chain.Options{}); c.Joined() {
		t.Error("it joined itself")
	}
	release()
	owner.Retire()
	if n := waittest.Receive(t, patience, "Leave", left); n != 0 {
		t.Errorf("%d left", n)
	}
}

// TestNoSessions: a host that runs no commands is dialled a few times, and says so.
func TestNoSessions(t *testing.T) {
	_, s := realSite(t, "MaxSessions 0")
	c := s.share(t, chain.Options{})
	var refused *chain.OpenError
	if err := c.Exec(t.Context(), "echo", nil, nil, nil); !errors.As(err, &refused) || refused.Addr != "session" {
		t.Error(err)
	}
	if n := s.dials.Load(); n != maxChains {
		t.Errorf("%d dials", n)
	}
}

// TestClientAlive: the host asks after the connection in one of its channels. The owner
// answers, whatever the sharer does to which the channel belongs.
func TestClientAlive(t *testing.T) {
	_, s := realSite(t, "ClientAliveInterval 1", "ClientAliveCountMax 2")
	owner := s.share(t, chain.Options{})
	conn, err := net.Dial("unix", s.place.socketPath())
	if err != nil {
		t.Fatal(err)
	}
	sc, chans, reqs, err := ssh.NewControlClientConn(newSocket(conn.(*net.UnixConn)))
	if err != nil {
		t.Fatal(err)
	}
	defer discardConn(sc, chans, reqs)
	if ok, _, err := sc.SendRequest(joinRequest, true, ssh.Marshal(joinMessage{protocolVersion})); err != nil || !ok {
		t.Fatal(ok, err)
	}
	ch, _, err := sc.OpenChannel("session", nil) // whose requests nobody answers
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{"sleep 60"})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	select {
	case <-owner.Done():
		t.Errorf("the host has hung up: %v", owner.Err())
	case <-ctx.Done():
	}
}
