package key

import (
	"cmp"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"
)

// clockTolerance is how slow this machine's clock may be. Within it, a fresh certificate does not count
// as not yet valid: the client tries it, since the server's clock decides.
const clockTolerance = 5 * time.Minute

// bestCertificate returns the valid certificate that ends last. If none is valid, it keeps the error of
// the first, in case nothing better is found.
func (s *search) bestCertificate(certs []certFile) (best certFile) {
	now := s.from.Now()
	var stale error
	for _, c := range certs {
		if err := c.checkTime(now); err != nil {
			if stale == nil && !c.foundByKey {
				stale = err
			}
			continue
		}
		if best.cert == nil || c.cert.ValidBefore > best.cert.ValidBefore {
			best = c
		}
	}
	if best.cert == nil && s.staleErr == nil {
		s.staleErr = stale
	}
	return best
}

// checkTime is InTime for a certificate in a file or in the agent.
func (c certFile) checkTime(now time.Time) error {
	name := cmp.Or(c.path, fmt.Sprintf("%q in the agent", c.cert.KeyId))
	if isOver(c.cert, now) {
		return &ExpiredError{Path: name, Until: Until(c.cert), Fix: SignCommand}
	}
	if from := validAfter(c.cert); from.After(now.Add(clockTolerance)) {
		return &NotYetValidError{Path: name, From: from}
	}
	return nil
}

// Unfit returns an *UnfitError about name if the certificate cannot open a tunnel.
func Unfit(name string, cert *ssh.Certificate) error {
	_, forwards := cert.Extensions["permit-port-forwarding"]
	_, forced := cert.CriticalOptions["force-command"]
	switch {
	case len(cert.ValidPrincipals) == 0:
		return &UnfitError{Path: name, Why: NoPrincipals}
	case !forwards:
		return &UnfitError{Path: name, Why: NoForwarding}
	case forced:
		return &UnfitError{Path: name, Why: ForcedCommand}
	}
	return nil
}

// endOfTime is the end of the year 9999, the last that RFC 3339 can express. A certificate's times are
// seconds since 1970 in 64 bits (PROTOCOL.certkeys).
const endOfTime = 253402300799

// validAfter returns when the certificate begins to be valid; zero means always.
func validAfter(cert *ssh.Certificate) time.Time {
	if cert.ValidAfter == 0 {
		return time.Time{}
	}
	return time.Unix(int64(min(cert.ValidAfter, endOfTime)), 0)
}

// Until returns when the certificate ends; zero means never.
func Until(cert *ssh.Certificate) time.Time {
	if cert.ValidBefore > endOfTime {
		return time.Time{}
	}
	return time.Unix(int64(cert.ValidBefore), 0)
}
