package chain

import (
	"fmt"
	"slices"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/crypto/ssh"
)

// checkKey returns why the key is refused; nil if it or its authority is in the list for the host.
func (l *hostList) checkKey(host string, key ssh.PublicKey) *HostKeyError {
	refusal := &HostKeyError{
		Host: host, KeyType: typeName(key.Type()), Fingerprint: ssh.FingerprintSHA256(bareKey(key)),
	}
	if r, ok := l.isRevoked(key); ok {
		refusal.Kind, refusal.File, refusal.LineNumber = HostKeyRevoked, r.file, r.line
		return refusal
	}
	var invalid string
	if cert, ok := key.(*ssh.Certificate); ok {
		if l.vouchesFor(host, cert, &invalid) {
			return nil
		}
		// As in ssh, the key in a certificate may also be known by itself.
		key = cert.Key
	}

	changed, found := l.findKey(host, key)
	switch {
	case found:
		return nil
	case invalid != "":
		refusal.Kind, refusal.Reason = HostKeyBadCert, invalid
	case changed != nil:
		refusal.Kind, refusal.File, refusal.LineNumber = HostKeyChanged, changed.file, changed.line
		if changed.file != "" {
			refusal.Fix = fmt.Sprintf("ssh-keygen -f %s -R %s", shellescape.Quote(changed.file), shellescape.Quote(host))
		}
		if t := typeName(changed.key.Type()); t != refusal.KeyType {
			refusal.Reason = fmt.Sprintf("it is known by its %s key", t)
		}
	default:
		refusal.Kind = HostKeyUnknown
		if refusal.Line = hostLine(host, key); refusal.Line == "" {
			refusal.Reason = "its name does not fit into a known_hosts file"
		}
	}
	return refusal
}

// findKey reports whether the key is one of the host's known keys. If not, it returns the entry of
// another key of the host, preferably of the same type, or nil.
func (l *hostList) findKey(host string, key ssh.PublicKey) (other *entry, found bool) {
	bare := bareHost(host)
	for i, e := range l.entries {
		switch {
		case e.authority:
		case e.hosts.matchesHost(host):
			if sameKey(e.key, key) {
				return nil, true
			}
			if other == nil || other.key.Type() != key.Type() && e.key.Type() == key.Type() {
				other = &l.entries[i]
			}
		case bare != host && e.hosts.matchesHost(bare) && sameKey(e.key, key):
			// Like ssh, accept an entry without the port if the key is the same. If it is not,
			// another server may run on that port.
			return nil, true
		}
	}
	return other, false
}

// vouchesFor reports whether a known authority has signed a valid certificate for the host. If the
// certificate is not valid, it sets invalid to the reason.
func (l *hostList) vouchesFor(host string, cert *ssh.Certificate, invalid *string) bool {
	name := bareHost(host)
	for _, e := range l.entries {
		if !e.authority || !sameKey(e.key, cert.SignatureKey) || !e.hosts.matchesHost(host) && !e.hosts.matchesHost(name) {
			continue
		}
		why := checkHostCert(name, cert)
		if why == "" {
			return true
		}
		*invalid = why
	}
	return false
}

// checkHostCert returns what is wrong with a certificate of the right authority, or "". Unlike
// x/crypto's CertChecker, it accepts patterns as principals of host certificates (ssh-keygen(1),
// CERTIFICATES) and refuses SHA-1 signatures.
func checkHostCert(name string, cert *ssh.Certificate) string {
	if cert.CertType != ssh.HostCert {
		return "it is not a certificate for hosts"
	}
	if cert.Signature.Format == ssh.KeyAlgoRSA {
		return "its authority signed it with SHA-1"
	}
	var checker ssh.CertChecker
	principal := name
	if len(cert.ValidPrincipals) > 0 {
		i := slices.IndexFunc(cert.ValidPrincipals, func(p string) bool { return matchPattern(p, name) })
		if i < 0 {
			return fmt.Sprintf("it is for %s", sanitizeText(fmt.Sprint(cert.ValidPrincipals)))
		}
		principal = cert.ValidPrincipals[i]
	}
	if err := checker.CheckCert(principal, cert); err != nil {
		return err.Error()
	}
	return ""
}
