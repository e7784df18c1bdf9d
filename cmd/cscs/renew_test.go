package main

import (
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// TestEarlyOfTheAgents: a service account whose certificate only the agent has asks for one of
// the usual key: the agent's has no place of its own.
func TestEarlyOfTheAgents(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv(apiKeyVar, "secret")
	now := time.Now()
	r := &renewal{
		signer: &signer{
			io: &ui.IO{Out: io.Discard, Err: io.Discard},
			by: site.Signing{Name: "here", Kind: site.SigningCSCS, Endpoint: "https://127.0.0.1:1", Account: "https://127.0.0.1:1"},
		},
		now: func() time.Time { return now },
	}
	id := &key.Identity{Agent: true, Cert: &ssh.Certificate{}, ValidBefore: now.Add(10 * time.Second)}
	_, err := r.early(t.Context(), id)
	var failed *problem.SigningError
	if !errors.As(err, &failed) || failed.Flags != "" {
		t.Errorf("%#v: %v", err, err)
	}
}
