package key

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// An Agent is the socket or pipe of an agent, which holds keys for the user (ssh-agent); "" is none. It is
// dialled for each request, because a connection that stays open for hours would miss a restart of the agent.
type Agent string

// FindAgent returns the agent that ssh_config's IdentityAgent names. An empty name means the environment's.
func FindAgent(named string) Agent {
	switch {
	case named == "none":
		return ""
	case named == "" || named == "SSH_AUTH_SOCK":
		if sock := os.Getenv("SSH_AUTH_SOCK"); sock != "" {
			return Agent(sock)
		}
		return defaultAgent
	case strings.HasPrefix(named, "$"):
		return Agent(os.Getenv(strings.Trim(named[1:], "{}")))
	}
	return Agent(named)
}

// heldKey is one key that an agent holds.
type heldKey struct {
	blob    []byte // identifies the key to the agent
	pub     ssh.PublicKey
	cert    *ssh.Certificate // nil for a bare key
	comment string
}

// bareKey returns the public key without its certificate.
func (h heldKey) bareKey() ssh.PublicKey {
	if h.cert != nil {
		return h.cert.Key
	}
	return h.pub
}

// queryKeys asks the agent for its keys, for at most limit. It leaves out those that x/crypto cannot parse.
func (a Agent) queryKeys(ctx context.Context, limit time.Duration) ([]heldKey, error) {
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

// withClient calls talk with a client of the agent, and closes the connection when ctx ends. The error is a
// *NoAgentError or an *AgentError.
func (a Agent) withClient(ctx context.Context, talk func(agent.ExtendedAgent) error) error {
	conn, err := dialAgent(ctx, string(a))
	if err != nil {
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case a == defaultAgent && errors.Is(err, fs.ErrNotExist): // the service of Windows, which is off by default
			return &NoAgentError{}
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

// opReason removes the address from an error of net, since AgentError names the socket.
func opReason(err error) error {
	if op, ok := err.(*net.OpError); ok { //nolint:errorlint // only when it is the outermost
		return op.Err
	}
	return err
}

// agentSigner signs with a key that an agent holds. It presents pub, which may be a certificate.
type agentSigner struct {
	agent Agent
	blob  []byte // identifies the key to the agent
	pub   ssh.PublicKey
}

func (s *agentSigner) PublicKey() ssh.PublicKey { return s.pub }

func (s *agentSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner. It has no timeout: the agent may ask its user to
// confirm (ssh-add -c) or to touch a token.
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

// findHeldKey returns the agent's entry for key. It prefers the bare key, which can be presented with
// any certificate.
func findHeldKey(all []heldKey, key ssh.PublicKey) (heldKey, bool) {
	var found heldKey
	var ok bool
	for _, h := range all {
		if isSameKey(h.bareKey(), key) {
			found, ok = h, true
			if h.cert == nil {
				break
			}
		}
	}
	return found, ok
}

// certificatesFor returns the user certificates that the agent holds for key, or for any key if key is nil.
func certificatesFor(all []heldKey, key ssh.PublicKey) (certs []certFile) {
	for _, h := range all {
		if h.cert != nil && h.cert.CertType == ssh.UserCert && (key == nil || isSameKey(h.cert.Key, key)) {
			certs = append(certs, certFile{cert: h.cert})
		}
	}
	return certs
}
