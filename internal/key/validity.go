package key

import (
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"
)

// clockTolerance is by how much this machine's clock may be slow without a fresh
// certificate being called not yet valid: the server, whose clock decides, is asked
// then.
const clockTolerance = 5 * time.Minute

// bestCertificate is the certificate that is valid the longest. If none is valid, what is
// wrong with the first is kept as the search's error, should nothing better be
// found.
func (s *search) bestCertificate(certs []certFile) (best certFile) {
	now := s.from.Now()
	var stale error
	for _, c := range certs {
		if err := inTime(c, now); err != nil {
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

func inTime(c certFile, now time.Time) error {
	name := c.path
	if name == "" {
		name = fmt.Sprintf("%q in the agent", c.cert.KeyId)
	}
	from, until := validAfter(c.cert), validBefore(c.cert)
	switch {
	case !until.IsZero() && !now.Before(until):
		return &ExpiredError{Path: name, Until: until, Fix: SignCommand}
	case from.After(now.Add(clockTolerance)):
		return &NotYetValidError{Path: name, From: from}
	}
	return nil
}

// Unfit says whether a certificate, which is named in an error, lacks what is needed to open a
// tunnel with it: nil or *UnfitError.
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

// A certificate's times are seconds since 1970 (PROTOCOL.certkeys), in 64 bits,
// of which time.Time prints those up to the end of the year 9999.
const endOfTime = 253402300799

// validAfter is the zero Time for "always".
func validAfter(cert *ssh.Certificate) time.Time {
	if cert.ValidAfter == 0 {
		return time.Time{}
	}
	return time.Unix(int64(min(cert.ValidAfter, endOfTime)), 0)
}

// validBefore is the zero Time for "for ever".
func validBefore(cert *ssh.Certificate) time.Time {
	if cert.ValidBefore > endOfTime {
		return time.Time{}
	}
	return time.Unix(int64(cert.ValidBefore), 0)
}
