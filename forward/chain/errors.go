package chain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Phases of reaching a hop, in order, as DialError names them.
const (
	PhaseConnect      = "connect"      // name resolution and TCP, or the channel of the hop before
	PhaseHandshake    = "handshake"    // version and key exchange (RFC 4253)
	PhaseAuthenticate = "authenticate" // after the host key was verified (RFC 4252)
)

// DialError says that a hop could not be reached, or that it did not speak SSH
// to the end of the handshake.
type DialError struct {
	Hop   string
	Addr  string
	Phase string // PhaseConnect, …

	// Said is what the host sent in place of an SSH greeting, made printable:
	// "Not allowed at this time", "Exceeded MaxStartups", a page of HTML.
	Said string

	Err error
}

func (e *DialError) Error() string {
	if e.Said != "" {
		return fmt.Sprintf("%s %s (%s): %v; it said %q", e.Phase, e.Hop, e.Addr, e.Err, e.Said)
	}
	return fmt.Sprintf("%s %s (%s): %v", e.Phase, e.Hop, e.Addr, e.Err)
}

func (e *DialError) Unwrap() error { return e.Err }

// Timeout reports whether the hop was given up because it took too long.
func (e *DialError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// timeoutError is the cause of a context that the clock of one hop has ended.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("no answer within %v", e.after) }
func (e *timeoutError) Timeout() bool { return true }

// KeyError says that there is no key that could be shown: nobody was dialled. It is for
// those who find the keys for a chain, which is given complete ones.
type KeyError struct{ Err error }

func (e *KeyError) Error() string { return e.Err.Error() }
func (e *KeyError) Unwrap() error { return e.Err }

// AuthError says that a hop was reached, is the right one, and does not let us
// in.
type AuthError struct {
	Hop  string
	User string

	// Offered names the key that was shown: its type, its SHA256 fingerprint
	// and, for a certificate, its identity and serial number.
	Offered string

	// Principals are the users that the certificate is for, if one was shown.
	Principals []string

	// InTime is whether a certificate was shown that is valid now, by this machine's clock.
	InTime bool

	// Accepted is whether the server took the key and refused all the same, as
	// it does when the account, and not the key, is the trouble (PAM), or when
	// it wants something more (Partial).
	// Answered is whether the hop's own questions (Options.Challenge) were answered, too.
	Accepted bool
	Partial  bool
	Answered bool

	// Methods are the ways in that the server named last (RFC 4252 §5.1).
	Methods []string

	// Banner is what the server had to say, and Disconnect the reason it gave
	// when it hung up; either may be empty. pam_slurm_adopt's "you have no
	// active jobs on this node" arrives as a banner.
	Banner     string
	Disconnect string

	Err error
}

func (e *AuthError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "authenticate to %s as %q with %s: ", e.Hop, e.User, e.Offered)
	switch {
	case e.Disconnect != "":
		b.WriteString(e.Disconnect)
	case e.Partial:
		fmt.Fprintf(&b, "the key was accepted, and more is asked for (%s)", strings.Join(e.Methods, ", "))
	case e.Accepted:
		b.WriteString("the key was accepted, and the connection then refused")
	case len(e.Methods) > 0:
		fmt.Fprintf(&b, "permission denied (%s)", strings.Join(e.Methods, ","))
	default:
		b.WriteString("permission denied")
	}
	if s := strings.TrimSpace(e.Banner); s != "" {
		fmt.Fprintf(&b, ": %s", lastLine(s))
	}
	return b.String()
}

func (e *AuthError) Unwrap() error { return e.Err }

// NeedsAnswer reports whether the hop has accepted the key and asks the user for a second factor.
func (e *AuthError) NeedsAnswer() bool {
	return e.Partial && slices.Contains(e.Methods, keyboardInteractive)
}

// SignError says that the hop would have the key, but that whoever holds it, an
// agent mostly, would not sign.
type SignError struct {
	Hop     string
	Offered string // as in AuthError
	Err     error
}

func (e *SignError) Error() string {
	return fmt.Sprintf("sign for %s with %s: %v", e.Hop, e.Offered, e.Err)
}

func (e *SignError) Unwrap() error { return e.Err }

// A HostKeyKind is why a host key was not accepted.
type HostKeyKind string

const (
	HostKeyUnknown  HostKeyKind = "unknown"     // no entry for the host, and nobody to ask
	HostKeyDeclined HostKeyKind = "declined"    // asked, and answered no
	HostKeyChanged  HostKeyKind = "changed"     // the host is known by another key
	HostKeyRevoked  HostKeyKind = "revoked"     // the key, or the authority that signed it, is marked @revoked
	HostKeyBadCert  HostKeyKind = "certificate" // signed by a known authority, but expired, for another host, …
)

// HostKeyError says that a host's key was not accepted.
type HostKeyError struct {
	Hop  string
	Host string // as known_hosts names it: "ela.cscs.ch", "[localhost]:2222"
	Kind HostKeyKind

	KeyType     string // "ED25519", as ssh says it
	Fingerprint string // "SHA256:…" of the key that was shown

	// Line is, for an unknown key, the line that would make it known, and File
	// the known_hosts file in which it belongs. For a changed or revoked one,
	// File and LineNumber (from 1) are where the entry is that speaks against it.
	Line       string
	File       string
	LineNumber int

	// Unread is, for an unknown key, the first of the files that might know it and could not be
	// read; nil if all could.
	Unread *PassedOverError

	// Fix is the command that forgets the old entry, for a changed key; to be
	// given only once the change is known to be genuine.
	Fix string

	Reason string // in words, for HostKeyBadCert and wherever there is more to say
}

func (e *HostKeyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "verify host key of %s", e.Host)
	if e.Hop != "" && e.Hop != e.Host {
		fmt.Fprintf(&b, " (%s)", e.Hop)
	}
	fmt.Fprintf(&b, ": %s", e.refusalText())
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	return b.String()
}

func (e *HostKeyError) refusalText() string {
	key := strings.TrimSpace(e.KeyType + " key " + e.Fingerprint)
	var at string
	if e.LineNumber > 0 {
		at = fmt.Sprintf(" (%s:%d)", e.File, e.LineNumber)
	}
	switch e.Kind {
	case HostKeyUnknown:
		return key + " is not known"
	case HostKeyDeclined:
		return key + " was not confirmed"
	case HostKeyChanged:
		return key + " is not the one known for it" + at
	case HostKeyRevoked:
		return key + " is revoked" + at
	case HostKeyBadCert:
		return "its certificate for " + key + " is not valid"
	}
	return string(e.Kind)
}

// OpenError says that a hop refused to open the way to Addr: a host and port,
// the path of a socket, or "session" for a command. It wraps an
// *ssh.OpenChannelError, whose Reason is RFC 4254 §5.1's.
type OpenError struct {
	Hop     string
	Addr    string
	Reason  string // "administratively prohibited", "connect failed", …
	Message string // in the server's words
	Err     error
}

func (e *OpenError) Error() string {
	if e.Message != "" && e.Message != e.Reason {
		return fmt.Sprintf("open %s from %s: %s: %s", e.Addr, e.Hop, e.Reason, e.Message)
	}
	return fmt.Sprintf("open %s from %s: %s", e.Addr, e.Hop, e.Reason)
}

func (e *OpenError) Unwrap() error { return e.Err }

// Prohibited reports whether the hop connects nobody to Addr, or not us.
func (e *OpenError) Prohibited() bool {
	var refused *ssh.OpenChannelError
	return errors.As(e.Err, &refused) && refused.Reason == ssh.Prohibited
}

// Refused reports whether the host at Addr has answered, and nothing listens there. The
// protocol has no number for that: sshd sends what its system says (strerror(3)).
func (e *OpenError) Refused() bool {
	return strings.HasSuffix(strings.ToLower(e.Message), "connection refused")
}

// LostError says that a chain that stood has fallen, and at which hop. It never
// wraps io.EOF: a Read may return it.
type LostError struct {
	Hop     string
	Silence time.Duration // how long nothing was heard, if that is why it was given up
	Err     error
}

func (e *LostError) Error() string {
	if e.Silence > 0 {
		return fmt.Sprintf("connection to %s lost: no answer for %v", e.Hop, e.Silence.Round(time.Second))
	}
	return fmt.Sprintf("connection to %s lost: %v", e.Hop, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// lastLine is the last line of a message of the server's, which is the one that
// says why: what comes before is often the legal notice of the site.
func lastLine(s string) string {
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

// disconnectMessage is the text of an SSH_MSG_DISCONNECT (RFC 4253 §11.1) in
// err. x/crypto's type for it is not exported, so its text is matched, here and
// nowhere else.
func disconnectMessage(err error) string {
	if err == nil {
		return ""
	}
	const mark = "ssh: disconnect, reason "
	_, rest, found := strings.Cut(err.Error(), mark)
	if !found {
		return ""
	}
	_, msg, _ := strings.Cut(rest, ": ")
	if plain, err := strconv.Unquote(msg); err == nil {
		msg = plain
	}
	return sanitizeText(msg)
}

// sanitizeText makes text of a server's fit for a line on a terminal: control
// characters, which could move the cursor or worse, become spaces.
func sanitizeText(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch r {
		case '\n':
			return r
		case '\r':
			return -1
		}
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == '\uFFFD' {
			return ' '
		}
		return r
	}, s))
}

var errNoKeepaliveAnswer = errors.New("no answer to keepalive")
