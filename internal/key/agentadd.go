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

// NoAgentError reports that there is no agent to ask.
type NoAgentError struct{}

func (e *NoAgentError) Error() string {
	return "could not open a connection to your authentication agent: there is none"
}

// Holds reports whether the agent holds a key, with or without a certificate. The error is a
// *NoAgentError or an *AgentError.
func (a Agent) Holds(ctx context.Context, pub ssh.PublicKey) (bool, error) {
	all, err := a.listKeys(ctx)
	return slices.ContainsFunc(all, func(h heldKey) bool { return isSameKey(h.bareKey(), pub) }), err
}

// RemoveExpired removes from the agent the expired certificates of the same key and authority as cert.
// A nil cert removes none. All others stay: the user may need them. It returns the comments of those removed.
func (a Agent) RemoveExpired(ctx context.Context, cert *ssh.Certificate, now time.Time) (removed []string, err error) {
	all, err := a.listKeys(ctx)
	if err != nil || cert == nil {
		return nil, err
	}
	err = a.withClient(ctx, func(client agent.ExtendedAgent) error {
		for _, h := range all {
			if h.cert == nil || h.cert.CertType != ssh.UserCert || !h.isOfSamePair(cert) || !isOver(h.cert, now) {
				continue
			}
			if err := h.removeFrom(client); err != nil {
				return err
			}
			removed = append(removed, h.comment)
		}
		return nil
	})
	if len(removed) > 0 {
		a.forgetList(ctx)
	}
	return removed, err
}

// An Addition reports what Add did.
type Addition struct {
	Held   bool // the agent held the certificate: nothing was added or removed
	Beside bool // the agent held the key, certified or bare; its constraints do not apply to what was added
}

// Add adds a key and its certificate to the agent, until the certificate ends. It removes each
// certificate that this one renews (isRenewal). An agent does not reveal lifetimes and constraints, and
// adding a key again replaces them. So Add adds nothing that the agent holds.
func (a Agent) Add(ctx context.Context, private crypto.PrivateKey, cert *ssh.Certificate, comment string, now time.Time) (Addition, error) {
	all, err := a.listKeys(ctx)
	if err != nil {
		return Addition{}, err
	}
	var lifetime uint32 // 0: no limit
	if until := Until(cert); !until.IsZero() {
		left := until.Sub(now)
		if left < time.Second {
			return Addition{}, &ExpiredError{Path: comment, Until: until, Fix: SignCommand}
		}
		lifetime = uint32(min(left/time.Second, math.MaxInt32))
	}
	if slices.ContainsFunc(all, func(h heldKey) bool { return isSameKey(h.pub, cert) }) {
		return Addition{Held: true}, nil // the bare key, without the constraints, would allow more
	}
	err = a.withClient(ctx, func(client agent.ExtendedAgent) error {
		// Add both, as ssh-add does. With the bare key, a certificate renewed in its file works without
		// a visit to the agent.
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
			if err := h.removeFrom(client); err != nil {
				return err
			}
		}
		return nil
	})
	a.forgetList(ctx)
	var silent *AgentError
	if errors.As(err, &silent) && ctx.Err() == nil {
		err = &AgentRefusedError{Socket: silent.Socket, Err: silent.Err} // it has just listed its keys
	}
	if err != nil {
		return Addition{}, err
	}
	return Addition{Beside: slices.ContainsFunc(all, func(h heldKey) bool { return isSameKey(h.bareKey(), cert.Key) })}, nil
}

// isRenewal reports whether cert serves every purpose of old and ends later. Both have the same key,
// authority, principals, critical options and extensions.
func isRenewal(cert, old *ssh.Certificate) bool {
	return old.CertType == cert.CertType && isSameKey(old.Key, cert.Key) && isSameKey(old.SignatureKey, cert.SignatureKey) &&
		samePrincipals(old, cert) && maps.Equal(old.CriticalOptions, cert.CriticalOptions) && maps.Equal(old.Extensions, cert.Extensions) &&
		old.ValidBefore < cert.ValidBefore
}

// isOfSamePair reports whether h's certificate and cert have the same key and authority.
func (h heldKey) isOfSamePair(cert *ssh.Certificate) bool {
	return isSameKey(h.cert.Key, cert.Key) && isSameKey(h.cert.SignatureKey, cert.SignatureKey)
}

// removeFrom removes the key from the agent.
func (h heldKey) removeFrom(client agent.ExtendedAgent) error {
	return client.Remove(&agent.Key{Format: h.pub.Type(), Blob: h.blob})
}

// samePrincipals reports whether two certificates are for the same set of users.
func samePrincipals(a, b *ssh.Certificate) bool {
	sorted := func(c *ssh.Certificate) []string {
		return slices.Compact(slices.Sorted(slices.Values(c.ValidPrincipals)))
	}
	return slices.Equal(sorted(a), sorted(b))
}

// AgentRefusedError reports that an agent answers but does not take the key. A locked agent does that
// without giving a reason (draft-ietf-sshm-ssh-agent, section 3.7).
type AgentRefusedError struct {
	Socket string
	Err    error
}

func (e *AgentRefusedError) Error() string {
	return fmt.Sprintf("the agent (%s) refuses the key: %v", e.Socket, e.Err)
}
func (e *AgentRefusedError) Unwrap() error { return e.Err }
