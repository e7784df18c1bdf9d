package chain

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"
)

// KnownHostsError means that a known_hosts file cannot be used.
type KnownHostsError struct {
	File string
	Line int // from 1
	Err  error
}

func (e *KnownHostsError) Error() string {
	return fmt.Sprintf("read known hosts: %s:%d: %v", e.File, e.Line, e.Err)
}

func (e *KnownHostsError) Unwrap() error { return e.Err }

// PassedOverError names a known_hosts file or line that was ignored, and why.
type PassedOverError struct {
	File string
	Line int // from 1; 0 for the whole file
	Err  error
}

func (e *PassedOverError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("known hosts %s: %v; the file is ignored", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v; the line is ignored", e.File, e.Line, e.Err)
}

func (e *PassedOverError) Unwrap() error { return e.Err }

// A hostList is the content of known_hosts files, in order.
type hostList struct {
	entries []entry
	revoked []revocation
	passed  []*PassedOverError
}

// An entry is one line that names a valid key or authority.
type entry struct {
	authority bool // @cert-authority
	hosts     matcher
	key       ssh.PublicKey
	file      string
	line      int // from 1
}

// A revocation is one @revoked line. The key's bytes suffice: x/crypto may not know its type.
type revocation struct {
	blob []byte
	file string
	line int
}

// parseFile adds a file. It records bad lines in l.passed; a bad @revoked line is an error.
func (l *hostList) parseFile(file string, data []byte) error {
	for i, text := range bytes.Split(data, []byte{'\n'}) {
		fields := bytes.Fields(text)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		if string(fields[0]) == "@revoked" {
			blobs, err := revokedKey(fields[1:])
			if err != nil {
				// The user wanted to revoke a key, and it is not known which.
				return &KnownHostsError{File: file, Line: i + 1, Err: fmt.Errorf("@revoked: %w", err)}
			}
			for _, b := range blobs {
				l.revoked = append(l.revoked, revocation{b, file, i + 1})
			}
			continue
		}
		e, err := parseEntry(fields)
		if err != nil {
			l.passed = append(l.passed, &PassedOverError{File: file, Line: i + 1, Err: err})
			continue
		}
		e.file, e.line = file, i+1
		l.entries = append(l.entries, e)
	}
	return nil
}

// parseEntry parses a line that is neither empty nor a comment nor @revoked.
func parseEntry(fields [][]byte) (e entry, err error) {
	if fields[0][0] == '@' {
		if string(fields[0]) != "@cert-authority" {
			return e, fmt.Errorf("unknown marker %q", sanitizeText(string(fields[0])))
		}
		e.authority = true
		fields = fields[1:]
	}
	if len(fields) < 3 {
		return e, errors.New("it has no host names, type and key")
	}
	if e.hosts, err = parseHosts(string(fields[0])); err != nil {
		return e, err
	}
	blob, err := keyBlob(fields[1], fields[2])
	if err != nil {
		return e, err
	}
	if e.key, err = ssh.ParsePublicKey(blob); err != nil {
		return e, err
	}
	if _, ok := e.key.(*ssh.Certificate); ok {
		return e, errors.New("it has a certificate in the place of a key")
	}
	return e, nil
}

// revokedKey returns the bytes of the key on a @revoked line, and for a certificate also those of
// the key in it.
func revokedKey(fields [][]byte) ([][]byte, error) {
	if len(fields) < 3 {
		return nil, errors.New("it has no host names, type and key")
	}
	blob, err := keyBlob(fields[1], fields[2])
	if err != nil {
		return nil, err
	}
	blobs := [][]byte{blob}
	if key, err := ssh.ParsePublicKey(blob); err == nil {
		blobs = append(blobs, bareKey(key).Marshal())
	}
	return blobs, nil
}

// keyBlob decodes a key and checks that it begins with its type (RFC 4253, section 6.6).
func keyBlob(keyType, encoded []byte) ([]byte, error) {
	blob, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil {
		return nil, errors.New("its key is not base64")
	}
	var own struct {
		Type string
		Rest []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(blob, &own) != nil {
		return nil, errors.New("its key is cut short")
	}
	if own.Type != string(keyType) {
		return nil, fmt.Errorf("its key is of type %q, not %q", sanitizeText(own.Type), sanitizeText(string(keyType)))
	}
	return blob, nil
}

// isRevoked returns the line that revokes the key, the key in it if it is a certificate, or the
// authority that signed that.
func (l *hostList) isRevoked(key ssh.PublicKey) (revocation, bool) {
	blobs := [][]byte{key.Marshal()}
	if cert, ok := key.(*ssh.Certificate); ok {
		blobs = append(blobs, cert.Key.Marshal(), cert.SignatureKey.Marshal())
	}
	for _, r := range l.revoked {
		if slices.ContainsFunc(blobs, func(b []byte) bool { return bytes.Equal(b, r.blob) }) {
			return r, true
		}
	}
	return revocation{}, false
}

// keyAlgorithms implements KnownHosts.Algorithms.
func (l *hostList) keyAlgorithms(host string) []string {
	var certified bool
	var known []string
	for _, e := range l.entries {
		switch {
		case !e.hosts.matchesHost(host) && !e.hosts.matchesHost(bareHost(host)):
		case e.authority:
			certified = true
		default:
			known = append(known, algorithmsOf(e.key.Type())...)
		}
	}
	order := orderAlgorithms(known, plainAlgorithms)
	switch {
	case certified:
		// All of them, since the authority's own type says nothing about the keys that it signs
		// (skeema/knownhosts has that wrong).
		return slices.Concat(certAlgorithms, order)
	case known == nil:
		return nil
	}
	return order
}
