package key

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// An Agent is one that holds keys for the user (ssh-agent).
type Agent struct{ addr agentAddr }

// FindAgent is the agent that ssh_config's IdentityAgent names, or "" for the
// environment's.
func FindAgent(named string) Agent { return Agent{agentOf(named)} }

// NoAgentError says that there is none to ask.
type NoAgentError struct{}

func (e *NoAgentError) Error() string {
	return "could not open a connection to your authentication agent: there is none"
}

// Holds says whether the agent holds a key, with or without a certificate. The error is a
// *NoAgentError or an *AgentError.
func (a Agent) Holds(ctx context.Context, pub ssh.PublicKey) (bool, error) {
	all, err := a.list(ctx)
	if err != nil {
		return false, err
	}
	for _, h := range all {
		if same(h.plain(), pub) {
			return true, nil
		}
	}
	return false, nil
}

// RemoveExpired takes out of the agent the certificates that have run out, and nothing else: a
// plain key beside one may be somebody's for other doors. By the names that it knows them by.
func (a Agent) RemoveExpired(ctx context.Context, now time.Time) (removed []string, err error) {
	all, err := a.list(ctx)
	if err != nil {
		return nil, err
	}
	expired := func(cert *ssh.Certificate) bool {
		until := validBefore(cert)
		return !until.IsZero() && !now.Before(until)
	}
	err = a.addr.do(ctx, func(client agent.ExtendedAgent) error {
		for _, h := range all {
			if h.cert == nil || h.cert.CertType != ssh.UserCert || !expired(h.cert) {
				continue
			}
			if err := client.Remove(&agent.Key{Format: h.pub.Type(), Blob: h.blob}); err != nil {
				return err
			}
			removed = append(removed, h.comment)
		}
		return nil
	})
	return removed, err
}

// Add gives the agent a key and its certificate, to keep until the certificate ends. What
// it held of the same key and the same authority before makes way.
func (a Agent) Add(ctx context.Context, private crypto.PrivateKey, cert *ssh.Certificate, comment string, now time.Time) error {
	all, err := a.list(ctx)
	if err != nil {
		return err
	}
	var lifetime uint32 // 0: no limit
	if until := validBefore(cert); !until.IsZero() {
		left := until.Sub(now)
		if left < time.Second {
			return &ExpiredError{Path: comment, Until: until, Fix: SignCommand}
		}
		lifetime = uint32(min(left/time.Second, math.MaxInt32))
	}
	err = a.addr.do(ctx, func(client agent.ExtendedAgent) error {
		// Both, as ssh-add does: with the bare key, a certificate that is renewed in its file
		// can be shown without the agent being told.
		for _, k := range []agent.AddedKey{
			{PrivateKey: private, Comment: comment, LifetimeSecs: lifetime},
			{PrivateKey: private, Certificate: cert, Comment: comment, LifetimeSecs: lifetime},
		} {
			if err := client.Add(k); err != nil {
				return err
			}
		}
		for _, h := range all {
			if h.cert != nil && same(h.cert.Key, cert.Key) && same(h.cert.SignatureKey, cert.SignatureKey) && !same(h.cert, cert) {
				if err := client.Remove(&agent.Key{Format: h.pub.Type(), Blob: h.blob}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	var silent *AgentError
	if errors.As(err, &silent) && ctx.Err() == nil {
		return &AgentRefusedError{Socket: silent.Socket, Err: silent.Err} // it has just answered
	}
	return err
}

// AgentRefusedError says that an agent answers, and does not want to. A locked one holds
// nothing and takes nothing, and does not say why (draft-ietf-sshm-ssh-agent, section 3.7).
type AgentRefusedError struct {
	Socket string
	Err    error
}

func (e *AgentRefusedError) Error() string {
	return fmt.Sprintf("the agent (%s) does not take the key: %v", e.Socket, e.Err)
}
func (e *AgentRefusedError) Unwrap() error { return e.Err }

func (a Agent) list(ctx context.Context) ([]held, error) {
	if a.addr == "" {
		return nil, &NoAgentError{}
	}
	return a.addr.list(ctx)
}
