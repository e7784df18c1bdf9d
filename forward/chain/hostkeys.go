package chain

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// HostKeys decides which keys a host may show.
type HostKeys interface {
	// Algorithms returns the host key algorithms to request, in order of preference; nil means the
	// defaults. The form of host is that of known_hosts: "ela.cscs.ch", or "[ela.cscs.ch]:2222" if
	// the port is not 22.
	Algorithms(host string) []string

	// Check returns a *HostKeyError if the key is not the host's. It may ask a person. ctx ends it.
	Check(ctx context.Context, host string, remote net.Addr, key ssh.PublicKey) error
}

// hostName returns the name of the hop in known_hosts.
func (h Hop) hostName() string {
	if h.HostKeyAlias != "" {
		return strings.ToLower(h.HostKeyAlias)
	}
	host, port, err := net.SplitHostPort(h.Addr)
	if err != nil {
		return strings.ToLower(h.Addr)
	}
	host = strings.ToLower(host)
	if port == "22" || port == "ssh" {
		return host
	}
	return "[" + host + "]:" + port
}

// bareHost returns the name without the port, for the principals of certificates, which have none.
func bareHost(name string) string {
	if host, _, err := net.SplitHostPort(name); err == nil && strings.HasPrefix(name, "[") {
		return host
	}
	return name
}

// The algorithms in OpenSSH's order of preference. Ed25519 is first, so that an unknown host shows
// the key whose fingerprint sites publish. x/crypto has it last (golang/go#29286).
var (
	plainAlgorithms = []string{
		ssh.KeyAlgoED25519,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
	certAlgorithms = []string{
		ssh.CertAlgoED25519v01,
		ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
	}
)

// algorithmsOf returns the signature algorithms for a type of key, without SHA-1.
func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

// orderAlgorithms returns those of plainAlgorithms that are in known, and then the rest of others.
func orderAlgorithms(known, others []string) (order []string) {
	for _, a := range plainAlgorithms {
		if slices.Contains(known, a) {
			order = append(order, a)
		}
	}
	for _, a := range others {
		if !slices.Contains(order, a) {
			order = append(order, a)
		}
	}
	return order
}

// plainType returns the type of the key in a certificate of type t, or t if that is a key's.
func plainType(t string) string {
	plain, isCert := strings.CutSuffix(t, "-cert-v01@openssh.com")
	if !isCert {
		return t
	}
	if strings.HasPrefix(plain, "sk-") {
		return plain + "@openssh.com"
	}
	return plain
}

// typeName returns the name that ssh prints for a type of key.
func typeName(t string) string {
	switch t = plainType(t); {
	case t == ssh.KeyAlgoED25519:
		return "ED25519"
	case t == ssh.KeyAlgoRSA:
		return "RSA"
	case strings.HasPrefix(t, "ecdsa-sha2-"):
		return "ECDSA"
	case t == ssh.KeyAlgoSKED25519:
		return "ED25519-SK"
	case t == ssh.KeyAlgoSKECDSA256:
		return "ECDSA-SK"
	}
	return t
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// pinned implements PinnedKeys.
type pinned []ssh.PublicKey

// PinnedKeys accepts exactly these keys for any host name, and requests their types only. It is for
// hosts whose keys arrived over a trusted connection.
func PinnedKeys(keys ...ssh.PublicKey) HostKeys {
	var p pinned
	for _, key := range keys {
		if cert := asCertificate(key); cert != nil {
			key = cert.Key
		}
		p = append(p, key)
	}
	return p
}

// Algorithms implements HostKeys.
func (p pinned) Algorithms(string) []string {
	var known []string
	for _, key := range p {
		known = append(known, algorithmsOf(key.Type())...)
	}
	return orderAlgorithms(known, known) // nil if no key is pinned; Check then refuses every key
}

// Check implements HostKeys.
func (p pinned) Check(_ context.Context, host string, _ net.Addr, key ssh.PublicKey) error {
	// Algorithms requests no certificate. If the host shows one all the same, the key in it counts,
	// since that signed the key exchange.
	key = bareKey(key)
	if slices.ContainsFunc(p, func(want ssh.PublicKey) bool { return sameKey(want, key) }) {
		return nil
	}
	return &HostKeyError{
		Host:        host,
		Kind:        HostKeyChanged,
		KeyType:     typeName(key.Type()),
		Fingerprint: ssh.FingerprintSHA256(key),
		Reason:      "it is not the key that the host was said to have",
	}
}
