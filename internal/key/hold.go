package key

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
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
	all, err := a.listKeys(ctx)
	if err != nil {
		return false, err
	}
	for _, h := range all {
		if isSameKey(h.bareKey(), pub) {
			return true, nil
		}
	}
	return false, nil
}

// RemoveExpired takes out of the agent the certificates of one key and one authority, those of
// cert, that have expired; nil: none. All else may be the user's for other purposes. It returns the
// names by which the agent knows them.
func (a Agent) RemoveExpired(ctx context.Context, cert *ssh.Certificate, now time.Time) (removed []string, err error) {
	all, err := a.listKeys(ctx)
	if err != nil || cert == nil {
		return nil, err
	}
	err = a.addr.withClient(ctx, func(client agent.ExtendedAgent) error {
		for _, h := range all {
			if h.cert == nil || h.cert.CertType != ssh.UserCert || !h.isOfSamePair(cert) || !isOver(h.cert, now) {
				continue
			}
			if err := client.Remove(&agent.Key{Format: h.pub.Type(), Blob: h.blob}); err != nil {
				return err
			}
			removed = append(removed, h.comment)
		}
		return nil
	})
	if len(removed) > 0 {
		a.addr.forgetList(ctx)
	}
	return removed, err
}

// An Addition tells what Add did.
type Addition struct {
	Held   bool // the agent held the certificate: nothing was added or removed
	Beside bool // the agent held the key, in a certificate or without; the constraints of that do not apply to what was added
}

// Add gives the agent a key and its certificate, to keep until the certificate ends. It removes a
// certificate that this one renews: of the same key, authority, principals, options and extensions,
// which ends earlier. An agent does not tell the lifetime and constraints of what it holds, and adding
// that again replaces them. So Add adds nothing that the agent holds.
func (a Agent) Add(ctx context.Context, private crypto.PrivateKey, cert *ssh.Certificate, comment string, now time.Time) (Addition, error) {
	all, err := a.listKeys(ctx)
	if err != nil {
		return Addition{}, err
	}
	var lifetime uint32 // 0: no limit
	if until := validBefore(cert); !until.IsZero() {
		left := until.Sub(now)
		if left < time.Second {
			return Addition{}, &ExpiredError{Path: comment, Until: until, Fix: SignCommand}
		}
		lifetime = uint32(min(left/time.Second, math.MaxInt32))
	}
	if slices.ContainsFunc(all, func(h heldKey) bool { return isSameKey(h.pub, cert) }) {
		return Addition{Held: true}, nil // the bare key, without the constraints, would allow more
	}
	err = a.addr.withClient(ctx, func(client agent.ExtendedAgent) error {
		// Both, as ssh-add does: with the bare key, a certificate that is renewed in its file
		// can be shown without the agent being told.
		var added []agent.AddedKey
		if !slices.ContainsFunc(all, func(h heldKey) bool { return isSameKey(h.pub, cert.Key) }) {
			added = append(added, agent.AddedKey{PrivateKey: private, Comment: comment, LifetimeSecs: lifetime})
		}
		added = append(added, agent.AddedKey{PrivateKey: private, Certificate: cert, Comment: comment, LifetimeSecs: lifetime})
		for _, k := range added {
			if err := client.Add(k); err != nil {
				return err
			}
		}
		for _, h := range all {
			if h.cert == nil || !isRenewal(cert, h.cert) {
				continue
			}
			if err := client.Remove(&agent.Key{Format: h.pub.Type(), Blob: h.blob}); err != nil {
				return err
			}
		}
		return nil
	})
	a.addr.forgetList(ctx)
	var silent *AgentError
	if errors.As(err, &silent) && ctx.Err() == nil {
		err = &AgentRefusedError{Socket: silent.Socket, Err: silent.Err} // it has just answered
	}
	if err != nil {
		return Addition{}, err
	}
	return Addition{Beside: slices.ContainsFunc(all, func(h heldKey) bool { return isSameKey(h.bareKey(), cert.Key) })}, nil
}

// isRenewal reports whether cert serves all that old does, and for longer: the same key, authority,
// principals, critical options and extensions.
func isRenewal(cert, old *ssh.Certificate) bool {
	return old.CertType == cert.CertType && isSameKey(old.Key, cert.Key) && isSameKey(old.SignatureKey, cert.SignatureKey) &&
		samePrincipals(old, cert) && maps.Equal(old.CriticalOptions, cert.CriticalOptions) && maps.Equal(old.Extensions, cert.Extensions) &&
		old.ValidBefore < cert.ValidBefore
}

// isOfSamePair reports whether h is a certificate of the same key by the same authority.
func (h heldKey) isOfSamePair(cert *ssh.Certificate) bool {
	return isSameKey(h.cert.Key, cert.Key) && isSameKey(h.cert.SignatureKey, cert.SignatureKey)
}

// samePrincipals reports whether two certificates are for the same set of users.
func samePrincipals(a, b *ssh.Certificate) bool {
	sorted := func(c *ssh.Certificate) []string {
		return slices.Compact(slices.Sorted(slices.Values(c.ValidPrincipals)))
	}
	return slices.Equal(sorted(a), sorted(b))
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

func (a Agent) listKeys(ctx context.Context) ([]heldKey, error) {
	if a.addr == "" {
		return nil, &NoAgentError{}
	}
	return a.addr.listKeys(ctx)
}
