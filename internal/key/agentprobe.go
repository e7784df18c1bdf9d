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

// Count returns the number of keys in the agent. The error is a *NoAgentError or an *AgentError.
func (a Agent) Count(ctx context.Context) (int, error) {
	all, err := a.listKeys(ctx)
	return len(all), err
}

// Certified returns the agent's key whose user certificate is valid now and ends last. Its Path names
// the key's comment in the agent. It returns false if there is none.
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
		until := Until(h.cert)
		if best.Cert == nil || until.IsZero() || !best.ValidBefore.IsZero() && until.After(best.ValidBefore) {
			path := h.comment + " (in the agent)"
			best = State{Path: path, Public: h.cert.Key, Comment: h.comment, Cert: h.cert, CertPath: path, ValidAfter: validAfter(h.cert), ValidBefore: until}
		}
	}
	return best, best.Cert != nil
}

// isOver reports whether the certificate has expired.
func isOver(cert *ssh.Certificate, now time.Time) bool {
	until := Until(cert)
	return !until.IsZero() && !now.Before(until)
}

// MayBeLocked reports whether an agent that lists no keys may be locked. A locked agent lists none and
// refuses every request but unlock (draft-ietf-sshm-ssh-agent, section 3.7). An unlocked one of OpenSSH
// since 8.9 accepts session-bind (PROTOCOL.agent), here for a session that does not exist. Other agents
// look the same locked and unlocked.
func (a Agent) MayBeLocked(ctx context.Context) bool {
	if a == "" {
		return false
	}
	bind, err := sessionBind()
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	err = a.withClient(ctx, func(client agent.ExtendedAgent) error {
		_, err := client.Extension("session-bind@openssh.com", bind)
		return err
	})
	return errors.Is(err, agent.ErrExtensionUnsupported) // x/crypto returns this for every refusal
}

// sessionBind returns a session-bind request for a host key and a session made up for it.
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
