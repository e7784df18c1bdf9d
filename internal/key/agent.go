package key

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// An agentAddr is where an agent listens. It is dialled for each request: a
// connection kept open for hours would miss that the agent was started again.
type agentAddr string

// agentOf is the agent that a Source names, or "" for none (ssh_config's
// IdentityAgent).
func agentOf(named string) agentAddr {
	switch {
	case named == "none":
		return ""
	case named == "" || named == "SSH_AUTH_SOCK":
		if sock := os.Getenv("SSH_AUTH_SOCK"); sock != "" {
			return agentAddr(sock)
		}
		return defaultAgent
	case strings.HasPrefix(named, "$"):
		return agentAddr(os.Getenv(strings.Trim(named[1:], "{}")))
	}
	return agentAddr(named)
}

// heldKey is one key that an agent holds.
type heldKey struct {
	blob    []byte // by which the agent knows it
	pub     ssh.PublicKey
	cert    *ssh.Certificate // nil for a bare key
	comment string
}

// bareKey is the public key itself, out of its certificate.
func (h heldKey) bareKey() ssh.PublicKey {
	if h.cert != nil {
		return h.cert.Key
	}
	return h.pub
}

// queryKeys asks the agent what it holds, for at most limit. What x/crypto cannot parse is left out.
func (a agentAddr) queryKeys(ctx context.Context, limit time.Duration) ([]heldKey, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrAgentHangs)
	defer cancel()
	var all []heldKey
	err := a.withClient(ctx, func(client agent.ExtendedAgent) error {
		keys, err := client.List()
		for _, k := range keys {
			pub, err := ssh.ParsePublicKey(k.Blob)
			if err != nil {
				continue
			}
			cert, _ := pub.(*ssh.Certificate)
			all = append(all, heldKey{k.Blob, pub, cert, k.Comment})
		}
		return err
	})
	return all, err
}

// withClient talks to the agent, and stops when ctx ends.
func (a agentAddr) withClient(ctx context.Context, talk func(agent.ExtendedAgent) error) error {
	conn, err := dialAgent(ctx, string(a))
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &AgentError{Socket: string(a), Err: opReason(err)}
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := talk(agent.NewClient(conn)); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &AgentError{Socket: string(a), Err: err}
	}
	return nil
}

// opReason takes the address off an error of net's, which AgentError tells.
func opReason(err error) error {
	if op, ok := err.(*net.OpError); ok { //nolint:errorlint // only when it is the outermost
		return op.Err
	}
	return err
}

// agentSigner signs with a key that an agent holds, and shows it as pub.
type agentSigner struct {
	agent agentAddr
	blob  []byte // what the agent knows the key by
	pub   ssh.PublicKey
}

func (s *agentSigner) PublicKey() ssh.PublicKey { return s.pub }

func (s *agentSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner. It may take as long as the
// agent's user takes to confirm (ssh-add -c) or to touch a token.
func (s *agentSigner) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (sig *ssh.Signature, err error) {
	var flags agent.SignatureFlags
	switch algorithm {
	case ssh.KeyAlgoRSASHA256:
		flags = agent.SignatureFlagRsaSha256
	case ssh.KeyAlgoRSASHA512:
		flags = agent.SignatureFlagRsaSha512
	}
	err = s.agent.withClient(context.Background(), func(client agent.ExtendedAgent) error {
		sig, err = client.SignWithFlags(&agent.Key{Format: s.pub.Type(), Blob: s.blob}, data, flags)
		return err
	})
	return sig, err
}

// findHeldKey finds the key among what the agent holds: the bare one first, for
// that is what any certificate can be shown with.
func findHeldKey(all []heldKey, key ssh.PublicKey) (heldKey, bool) {
	var found heldKey
	var ok bool
	for _, h := range all {
		if !bytes.Equal(h.bareKey().Marshal(), key.Marshal()) {
			continue
		}
		if h.cert == nil {
			return h, true
		}
		found, ok = h, true
	}
	return found, ok
}

// certificatesFor are the user certificates that the agent holds: for key, or
// for any if that is nil.
func certificatesFor(all []heldKey, key ssh.PublicKey) (certs []certFile) {
	for _, h := range all {
		if h.cert != nil && h.cert.CertType == ssh.UserCert &&
			(key == nil || bytes.Equal(h.cert.Key.Marshal(), key.Marshal())) {
			certs = append(certs, certFile{cert: h.cert})
		}
	}
	return certs
}
