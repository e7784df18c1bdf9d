package chain

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// An offeredKey wraps the one key that a hop sees. It adds what x/crypto leaves to its caller:
//
//   - RSA keys and certificates sign with SHA-2 only (RFC 8332). Otherwise x/crypto would try SHA-1
//     after a refusal, which servers refuse by default and count as a failure.
//   - An agent that asks its user before it signs pauses the hop's timer, and can be cancelled.
//   - asked records whether the server requested a signature, and so accepted the key.
type offeredKey struct {
	ssh.Signer
	ctx   context.Context // of the dial; a Signer's methods have no parameter for it
	timer *pausableTimer
	asked atomic.Bool

	failed error // why its holder did not sign
}

func (o *offeredKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return o.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (o *offeredKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	o.asked.Store(true)
	defer o.timer.pause()()

	type result struct {
		sig *ssh.Signature
		err error
	}
	signed := make(chan result, 1)
	// After the end of ctx nothing waits for it: an agent blocks until its user answers.
	go func() {
		sig, err := o.signData(rand, data, algorithm)
		signed <- result{sig, err}
	}()
	select {
	case r := <-signed:
		if r.err != nil {
			o.failed = r.err
			return nil, r.err
		}
		return r.sig, nil
	case <-o.ctx.Done():
		return nil, context.Cause(o.ctx)
	}
}

func (o *offeredKey) signData(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if as, ok := o.Signer.(ssh.AlgorithmSigner); ok {
		return as.SignWithAlgorithm(rand, data, algorithm)
	}
	return o.Signer.Sign(rand, data)
}

// Algorithms implements ssh.MultiAlgorithmSigner.
func (o *offeredKey) Algorithms() []string {
	algorithms := algorithmsOf(plainType(o.PublicKey().Type()))
	m, ok := o.Signer.(ssh.MultiAlgorithmSigner)
	if !ok {
		return algorithms
	}
	able := m.Algorithms()
	both := slices.DeleteFunc(algorithms, func(a string) bool { return !slices.Contains(able, a) })
	if len(both) == 0 {
		return able // the signer knows best
	}
	return both
}

// describeKey names a key for AuthError: by what an administrator can find in the server's log.
func describeKey(key ssh.PublicKey) string {
	if cert := asCertificate(key); cert != nil {
		return fmt.Sprintf("%s certificate %q (serial %d) for %s",
			typeName(cert.Key.Type()), sanitizeText(cert.KeyId), cert.Serial, ssh.FingerprintSHA256(cert.Key))
	}
	return fmt.Sprintf("%s key %s", typeName(key.Type()), ssh.FingerprintSHA256(key))
}

// certPrincipals returns the users that a certificate is for.
func certPrincipals(key ssh.PublicKey) []string {
	if cert := asCertificate(key); cert != nil {
		return cert.ValidPrincipals
	}
	return nil
}

// inTime reports whether key is a certificate that is valid at now (PROTOCOL.certkeys).
func inTime(key ssh.PublicKey, now time.Time) bool {
	cert, at := asCertificate(key), uint64(max(now.Unix(), 0))
	return cert != nil && cert.ValidAfter <= at && at < cert.ValidBefore
}

// asCertificate returns key as a certificate, or nil if it is none. A key from an agent is always
// an *agent.Key and must be parsed.
func asCertificate(key ssh.PublicKey) *ssh.Certificate {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert
	}
	if plainType(key.Type()) == key.Type() {
		return nil
	}
	parsed, _ := ssh.ParsePublicKey(key.Marshal())
	cert, _ := parsed.(*ssh.Certificate)
	return cert
}
