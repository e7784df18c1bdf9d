package main

import (
	"crypto/rand"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxPerDay is how many valid certificates for a day a user may have. Certificates for a minute, and
// expired or revoked ones, do not count.
const maxPerDay = 5

// service is the state that both generations share: the authority and the issued certificates.
type service struct {
	authority ssh.Signer
	provider  http.Handler

	mu       sync.Mutex
	settings settings
	issued   []*issued
	requests []request
	accounts map[string]string // users by the access tokens of service accounts
}

type issued struct {
	user    string
	cert    *ssh.Certificate
	day     bool
	revoked time.Time
}

func (i *issued) expiryTime() time.Time { return time.Unix(int64(i.cert.ValidBefore), 0) }

// isActive reports whether the certificate counts for maxPerDay.
func (i *issued) isActive() bool {
	return i.day && i.revoked.IsZero() && time.Now().Before(i.expiryTime())
}

// certifyKey signs a key for a user. It returns nil if the user has maxPerDay certificates.
func (s *service) certifyKey(user string, key ssh.PublicKey, day bool) (*ssh.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.settings.Used
	for _, i := range s.issued {
		if i.user == user && i.isActive() {
			n++
		}
	}
	if day && n >= maxPerDay {
		return nil, nil
	}
	validity := time.Minute
	if day {
		validity = 24 * time.Hour
	}
	if s.settings.Validity > 0 {
		validity = time.Duration(s.settings.Validity) * time.Second
	}
	now := time.Now()
	begin := now.Add(-time.Minute)
	switch s.settings.Fault {
	case "expired":
		begin, validity = now.Add(-2*time.Hour), -time.Hour
	case "other-key":
		key = s.authority.PublicKey()
	}
	var serial [8]byte
	_, _ = rand.Read(serial[:])
	cert := &ssh.Certificate{
		Key: key, CertType: ssh.UserCert, KeyId: user, ValidPrincipals: []string{user},
		Serial:     binary.BigEndian.Uint64(serial[:]) | 1<<63, // more than a JavaScript number can hold
		ValidAfter: uint64(begin.Unix()), ValidBefore: uint64(now.Add(validity).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{
			"permit-agent-forwarding": "", "permit-port-forwarding": "", "permit-pty": "", "permit-user-rc": "",
		}},
	}
	if s.settings.Fault == "host" {
		cert.CertType = ssh.HostCert
	}
	if err := cert.SignCert(rand.Reader, s.authority); err != nil {
		return nil, err
	}
	if s.settings.Fault == "forged" {
		cert.ValidBefore += 3600 // after it was signed
	}
	s.issued = append(s.issued, &issued{user: user, cert: cert, day: day})
	return cert, nil
}

// userCertificates returns the certificates of a user, newest first.
func (s *service) userCertificates(user string) []*issued {
	s.mu.Lock()
	defer s.mu.Unlock()
	var own []*issued
	for _, i := range slices.Backward(s.issued) {
		if i.user == user {
			own = append(own, i)
		}
	}
	return own
}

// publicHandler serves the hosts that the laptop reaches.
func (s *service) publicHandler() http.Handler {
	gateway, older := s.gatewayHandler(), s.olderHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		s.recordRequest(r)
		if s.injectFault(w, r) {
			return
		}
		switch host {
		case issuerHost:
			s.provider.ServeHTTP(w, r)
		case gatewayHost:
			gateway.ServeHTTP(w, r)
		case olderHost:
			older.ServeHTTP(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}
