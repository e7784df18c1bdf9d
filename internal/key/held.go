package key

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Count is how many keys the agent holds. The error is a *NoAgentError or an *AgentError.
func (a Agent) Count(ctx context.Context) (int, error) {
	all, err := a.listKeys(ctx)
	return len(all), err
}

// Certified returns what the agent has instead of files: the key whose certificate for a user is valid now, and for
// the longest. Its Path is the comment by which the agent knows it. False: there is none.
func (a Agent) Certified(ctx context.Context, now time.Time) (State, bool) {
	all, err := a.listKeys(ctx)
	if err != nil {
		return State{}, false
	}
	var best State
	for _, h := range all {
		if h.cert == nil || h.cert.CertType != ssh.UserCert || isOver(h.cert, now) || now.Before(validAfter(h.cert)) {
			continue
		}
		until := validBefore(h.cert)
		if best.Cert == nil || until.IsZero() || !best.ValidBefore.IsZero() && until.After(best.ValidBefore) {
			path := h.comment + " (in the agent)"
			best = State{Path: path, Public: h.cert.Key, Comment: h.comment, Cert: h.cert, CertPath: path, ValidAfter: validAfter(h.cert), ValidBefore: until}
		}
	}
	return best, best.Cert != nil
}

// isOver reports whether the certificate has expired.
func isOver(cert *ssh.Certificate, now time.Time) bool {
	until := validBefore(cert)
	return !until.IsZero() && !now.Before(until)
}

// MayBeLocked reports whether an agent that holds no keys may only say so. A locked one refuses
// all but to tell what it holds, which is nothing, and to be unlocked (draft-ietf-sshm-ssh-agent,
// section 3.7). An OpenSSH's since 8.9 that is not lets a connection be bound to a session
// (PROTOCOL.agent), here to one that nobody has; others cannot be told from one that is.
func (a Agent) MayBeLocked(ctx context.Context) bool {
	if a.addr == "" {
		return false
	}
	bind, err := sessionBind()
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err = a.addr.withClient(ctx, func(client agent.ExtendedAgent) error {
		_, err := client.Extension("session-bind@openssh.com", bind)
		return err
	})
	return errors.Is(err, agent.ErrExtensionUnsupported) // which is how x/crypto words any refusal
}

// sessionBind is what binds a connection to an agent to the session of a host that was made up
// for it.
func sessionBind() ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	host, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	session := []byte("whether the agent is locked")
	sig, err := host.Sign(rand.Reader, session)
	if err != nil {
		return nil, err
	}
	return ssh.Marshal(struct {
		HostKey, Session, Signature []byte
		Forwarding                  bool
	}{host.PublicKey().Marshal(), session, ssh.Marshal(sig), false}), nil
}
