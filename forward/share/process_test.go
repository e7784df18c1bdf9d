//go:build linux || darwin

package share

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// flood sends for as long as it is taken.
func flood(c net.Conn) {
	for err := error(nil); err == nil; {
		_, err = c.Write(make([]byte, 32<<10))
	}
}

// TestTenAtOnce: whoever is first dials, and nobody else.
func TestTenAtOnce(t *testing.T) {
	for range 3 {
		s := newOpenSite(t)
		var all []*process
		for range 10 {
			all = append(all, s.process(t))
		}
		for _, p := range all {
			p.want("what?", "ready?")
		}
		for _, p := range all {
			p.say("dial")
		}
		var answers []string
		for _, p := range all {
			answers = append(answers, p.answer())
		}
		slices.Sort(answers)
		if got, want := strings.Join(answers, " "), strings.Repeat("joined ", 9)+"owner"; got != want {
			t.Error(got)
		}
		for _, p := range all {
			p.want("hello", "exec", "echo hello")
		}
		if n := s.logins(); n != 1 {
			t.Errorf("%d logins", n)
		}
	}
}

// TestKilled: an owner that is killed while data flows is missed at once, and one of the
// others takes its place.
func TestKilled(t *testing.T) {
	s := newOpenSite(t)
	addr := sshtest.ServeTCP(t, flood)
	owner, one, other := s.process(t), s.process(t), s.process(t)
	owner.want("owner", "dial")
	for _, p := range []*process{one, other} {
		p.want("joined", "dial")
		p.want("flowing", "flow", addr)
	}
	owner.kill()
	began := time.Now()
	for _, p := range []*process{one, other} {
		p.want("connection to daint lost: "+errSharingProcessEnded.Error(), "flowed")
		p.want("daint", "lost")
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("missed after %v", took)
	}
	if _, err := os.Lstat(s.place.socketPath()); err != nil {
		t.Fatal(err) // what it has left behind is no obstacle
	}
	one.say("dial")
	other.say("dial")
	if got := []string{one.answer(), other.answer()}; !slices.Contains(got, "owner") || !slices.Contains(got, "joined") {
		t.Error(got)
	}
	one.want("hello", "exec", "echo hello")
	other.want("hello", "exec", "echo hello")
	if n := s.logins(); n != 2 {
		t.Errorf("%d logins", n)
	}
}

// TestHandOn: an owner that leaves while data flows waits until the others have another
// chain and what ran over its own has ended, whole.
func TestHandOn(t *testing.T) {
	s := newOpenSite(t)
	data, enough := pattern(8<<20), make(chan struct{})
	addr := sshtest.ServeTCP(t, func(c net.Conn) {
		_, _ = c.Write(data)
		<-enough
		_, _ = c.Write(data)
	})
	owner, one, other := s.process(t), s.process(t), s.process(t)
	owner.want("owner", "dial")
	for _, p := range []*process{one, other} {
		p.want("joined", "dial")
		p.want("flowing", "flow", addr)
	}
	owner.say("leave")
	one.want("leaving", "leaving")
	other.want("leaving", "leaving")
	one.say("dial")
	other.say("dial")
	if got := []string{one.answer(), other.answer()}; !slices.Contains(got, "owner") || !slices.Contains(got, "joined") {
		t.Error(got)
	}
	for _, p := range []*process{one, other} {
		p.want("retired", "retire")
		p.want("hello", "exec", "echo hello")
	}
	close(enough)
	one.want("<nil>", "flowed")
	other.want("<nil>", "flowed")
	if got := owner.answer(); got != "0 left" {
		t.Error(got)
	}
	owner.want("<nil>", "close")
	one.want("hello", "exec", "echo hello")
	if n := s.logins(); n != 2 {
		t.Errorf("%d logins", n)
	}
}

// TestStopped: an owner that was stopped (Ctrl-Z) is not waited for.
func TestStopped(t *testing.T) {
	s := newOpenSite(t)
	owner := s.process(t)
	owner.want("owner", "dial")
	sshtest.StopProcess(t, owner.cmd.Process)
	began := time.Now()
	c := s.share(t, chain.Options{})
	if took := time.Since(began); !errors.Is(c.Alone(), errStuck) || took > 10*time.Second {
		t.Errorf("alone: %v, after %v", c.Alone(), took)
	}
	if err := owner.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if c := s.share(t, chain.Options{}); !c.Joined() {
		t.Errorf("alone: %v", c.Alone())
	}
}

// TestStoppedSharer: a sharer that was stopped does not hold up its owner's end, nor the others.
func TestStoppedSharer(t *testing.T) {
	s := newOpenSite(t)
	owner := s.share(t, chain.Options{})
	stopped := s.process(t)
	stopped.want("joined", "dial")
	stopped.want("flowing", "flow", sshtest.ServeTCP(t, flood))
	sshtest.StopProcess(t, stopped.cmd.Process)
	other := s.share(t, chain.Options{})
	if err := roundTrip(t.Context(), other, sshtest.ServeTCP(t, echo), pattern(10<<20)); err != nil {
		t.Error(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- owner.Close() }()
	if err := waittest.Receive(t, patience, "Close", closed); err != nil {
		t.Error(err)
	}
	if err := stopped.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	stopped.want("daint", "lost")
}
