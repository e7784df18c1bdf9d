package chain

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the format's own choice, and no secret hangs on it
	"encoding/base64"
	"errors"
	"strings"
)

// A matcher is the first field of a known_hosts line. It matches Hop.hostName, in lower case.
type matcher interface {
	matchesHost(host string) bool
	String() string
}

// parseHosts parses a list of patterns or a hashed name.
func parseHosts(field string) (matcher, error) {
	if strings.HasPrefix(field, "|") {
		return parseHashed(field)
	}
	return patterns(strings.Split(strings.ToLower(field), ",")), nil
}

// patterns is a list such as "*.cscs.ch,!ela.cscs.ch,[localhost]:2222". A pattern matches the whole
// name, with port and brackets. So "*" matches every host on every port, as in OpenSSH. x/crypto
// matches port 22 only (golang/go#52056).
type patterns []string

func (ps patterns) String() string { return strings.Join(ps, ",") }

func (ps patterns) matchesHost(host string) bool {
	matched := false
	for _, p := range ps {
		negated := strings.HasPrefix(p, "!")
		if p == "" || !matchPattern(strings.TrimPrefix(p, "!"), host) {
			continue
		}
		if negated {
			return false
		}
		matched = true
	}
	return matched
}

// matchPattern matches * and ?, which match any characters. It backtracks to the last * only, so no
// pattern takes exponential time.
func matchPattern(pattern, s string) bool {
	p, i, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// hashed is a name in the form of HashKnownHosts: |1|salt|HMAC-SHA1.
type hashed struct{ salt, sum []byte }

// parseHashed parses a hashed name.
func parseHashed(field string) (matcher, error) {
	parts := strings.Split(field, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return nil, errors.New("its hashed name is of an unknown kind")
	}
	salt, err1 := base64.StdEncoding.DecodeString(parts[2])
	sum, err2 := base64.StdEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil || len(sum) != sha1.Size {
		return nil, errors.New("its hashed name is not base64")
	}
	return hashed{salt, sum}, nil
}

// hashHost returns a hashed name for host.
func hashHost(host string) string {
	salt := make([]byte, sha1.Size)
	_, _ = rand.Read(salt) // never fails since Go 1.24
	b64 := base64.StdEncoding.EncodeToString
	return "|1|" + b64(salt) + "|" + b64(hostSum(salt, host))
}

func hostSum(salt []byte, host string) []byte {
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(host))
	return mac.Sum(nil)
}

func (h hashed) matchesHost(host string) bool { return bytes.Equal(h.sum, hostSum(h.salt, host)) }

func (h hashed) String() string { return "[hashed name]" } // as ssh prints it
