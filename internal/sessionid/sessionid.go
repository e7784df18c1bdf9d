// Package sessionid defines the ID of a session: 8 characters of lower-case base32. An ID becomes a
// part of the names of files, jobs, cookies and hosts. So each ID is checked where it enters:
// arguments, records, answers of the cluster.
package sessionid

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
)

// Length is the number of characters of an ID.
const Length = 8

// New returns a random ID of 40 bits (RFC 4648, section 6).
func New() string {
	b := make([]byte, Length*5/8)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b))
}

// An Error reports that a text is neither an ID nor the beginning of one.
type Error struct{ Text string }

func (e *Error) Error() string {
	text := []rune(e.Text)
	if len(text) > 40 {
		text = append(text[:40], '…')
	}
	return fmt.Sprintf("%q is no session ID: one has %d characters of a-z and 2-7", string(text), Length)
}

// Check returns an *Error unless s is an ID.
func Check(s string) error {
	if !IsID(s) {
		return &Error{s}
	}
	return nil
}

// IsID reports whether s is an ID.
func IsID(s string) bool { return len(s) == Length && isPlain(s) }

// ParsePrefix parses an ID or its beginning, as a user types it, and returns it in lower case. Upper
// case is accepted, because ssh uses host names in lower case only. An empty text is an *Error, like
// any other that is no beginning.
func ParsePrefix(s string) (string, error) {
	lower := asciiLower(s)
	if lower == "" || len(lower) > Length || !isPlain(lower) {
		return "", &Error{s}
	}
	return lower, nil
}

func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// asciiLower changes ASCII only: the Kelvin sign is no k.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
