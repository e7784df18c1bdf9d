// Package sessionid knows what the ID of a session is: 8 characters of lower-case base32. An ID
// becomes part of the names of files, jobs, cookies and hosts, so each one is checked where it
// enters: an argument, a record, an answer of the cluster.
package sessionid

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
)

// Length is how many characters an ID has.
const Length = 8

// New returns an ID: 40 random bits (RFC 4648, section 6).
func New() string {
	b := make([]byte, Length*5/8)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b))
}

// An Error tells that a text is no ID, nor the beginning of one.
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

// ParsePrefix reads an ID, or the beginning of one, as a person types it: upper case is as
// good, since ssh knows host names in lower case only. Nothing is no beginning. The error is an *Error.
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

// asciiLower leaves alone what is not ASCII: the Kelvin sign is no k.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
