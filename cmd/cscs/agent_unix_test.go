//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh/agent"

	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

// askingAgent is an agent that asks its user before it lists its keys, as password managers do:
// for as long as no one has called allow, it does not answer.
type askingAgent struct {
	agent.Agent
	allowed chan struct{}
	mu      sync.Mutex
	asked   int
}

func (a *askingAgent) allow() { close(a.allowed) }

func (a *askingAgent) List() ([]*agent.Key, error) {
	a.mu.Lock()
	a.asked++
	a.mu.Unlock()
	<-a.allowed
	return a.Agent.List()
}

func (a *askingAgent) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// newAskingAgent has one that holds a key and a certificate in the place of the environment's.
func newAskingAgent(t *testing.T) *askingAgent {
	t.Helper()
	private, signer := sshtest.NewPair(t)
	a := &askingAgent{Agent: agent.NewKeyring(), allowed: make(chan struct{})}
	cert := sshtest.UserCert(t, sshtest.NewKey(t), signer.PublicKey(), []string{"alice"})
	for _, k := range []agent.AddedKey{{PrivateKey: private}, {PrivateKey: private, Certificate: cert}} {
		if err := a.Add(k); err != nil {
			t.Fatal(err)
		}
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("CSCS_CONFIG", "")
	t.Setenv("CSCS_SSH_CONFIG", filepath.Join(home, ".ssh", "config"))
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ssh", "config"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSH_AUTH_SOCK", sshtest.ServeUnix(t, func(c net.Conn) { _ = agent.ServeAgent(a, c) }))
	return a
}

// A noticer calls notice once, when text is written to it.
type noticer struct {
	bytes.Buffer
	text   string
	notice func()
	once   sync.Once
}

func (n *noticer) Write(p []byte) (int, error) {
	if strings.Contains(string(p), n.text) {
		n.once.Do(n.notice)
	}
	return n.Buffer.Write(p)
}

// TestAgentAsks: an agent that asks its user has the time that this takes, once that was said; it
// is asked once.
func TestAgentAsks(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		asks int // at most
		want string
	}{
		{"run", []string{"run", "--dry-run", "-c", "daint", "--", "x"}, 1, "certificate of alice"},
		{"ssh-config", []string{"ssh-config"}, 1, "User alice"},
		{"key status", []string{"key", "status"}, 1, "has it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAskingAgent(t)
			var out bytes.Buffer
			said := &noticer{text: os.Getenv("SSH_AUTH_SOCK"), notice: a.allow}
			code := runCommandLine(t.Context(), tt.args, newDeps(&ui.IO{Out: &out, Err: said}))
			if !strings.Contains(out.String(), tt.want) || a.count() > tt.asks {
				t.Errorf("exit code %d, it was asked %d times\n%s%s", code, a.count(), &out, &said.Buffer)
			}
			said.once.Do(a.allow) // what waits for it ends
		})
	}
}

// TestAgentAsksInterrupted: Ctrl-C ends the wait at once.
func TestAgentAsksInterrupted(t *testing.T) {
	a := newAskingAgent(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	said := &noticer{text: os.Getenv("SSH_AUTH_SOCK"), notice: func() { cancel(session.ErrInterrupted) }}
	if code := runCommandLine(ctx, []string{"run", "--dry-run", "-c", "daint", "--", "x"}, newDeps(&ui.IO{Out: io.Discard, Err: said})); code != problem.Interrupted {
		t.Errorf("exit code %d\n%s", code, &said.Buffer)
	}
	a.allow()
}
