package signing

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
)

// A CertificateError reports that a service's key or certificate cannot be used. Nothing was changed.
type CertificateError struct {
	What string
	Err  error // may be nil
}

func (e *CertificateError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("the certificate is not usable: %s: %v", e.What, e.Err)
	}
	return "the certificate is not usable: " + e.What
}

func (e *CertificateError) Unwrap() error { return e.Err }

// acceptCertificate verifies a certificate. It refuses one that permits less than a good one in place,
// and one of another authority than by, unless by is nil.
func (r Request) acceptCertificate(text []byte, pub, by ssh.PublicKey) (*ssh.Certificate, error) {
	now := time.Now()
	cert, err := verifyCertificate(text, pub, now)
	if err != nil {
		return nil, err
	}
	if by != nil && !bytes.Equal(by.Marshal(), cert.SignatureKey.Marshal()) {
		return nil, &ReplaceError{Path: r.Path, What: "has a certificate of another authority"}
	}
	var unfit *key.UnfitError
	if errors.As(key.Unfit(r.Path, cert), &unfit) && key.Inspect(r.Path, now, r.Held).Problem == nil {
		return nil, &CertificateError{What: "it " + string(unfit.Why)}
	}
	return cert, nil
}

// verifyCertificate parses a certificate and checks it: for a user, for pub, signed by its authority,
// valid now. It accepts one that permits less than a tunnel needs, since the user may need it otherwise.
func verifyCertificate(text []byte, pub ssh.PublicKey, now time.Time) (*ssh.Certificate, error) {
	cert, err := key.ParseCertificate(text)
	switch {
	case err != nil:
		return nil, &CertificateError{What: err.Error()}
	case !bytes.Equal(cert.Key.Marshal(), pub.Marshal()):
		return nil, &CertificateError{What: fmt.Sprintf("it is for another key (%s) than ours (%s)",
			ssh.FingerprintSHA256(cert.Key), ssh.FingerprintSHA256(pub))}
	}
	if len(cert.ValidPrincipals) == 0 {
		return nil, &CertificateError{What: "it " + string(key.NoPrincipals)}
	}
	if err := key.InTime("of the service", cert, now); err != nil {
		return nil, &CertificateError{What: "it is not valid now", Err: err}
	}
	// x/crypto checks the rest of PROTOCOL.certkeys, above all the signature. InTime has checked the
	// time, with a tolerance for this machine's clock.
	checker := ssh.CertChecker{
		SupportedCriticalOptions: []string{"force-command", "source-address", "verify-required"},
		Clock:                    func() time.Time { return time.Unix(int64(cert.ValidAfter), 0) },
	}
	if err := checker.CheckCert(cert.ValidPrincipals[0], cert); err != nil {
		return nil, &CertificateError{What: "its signature or its options do not hold", Err: err}
	}
	return cert, nil
}
