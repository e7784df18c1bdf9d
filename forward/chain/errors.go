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

// Phases of a dial, in order, for DialError.
const (
	PhaseConnect      = "connect"      // name resolution and TCP, or the channel of the hop before
	PhaseHandshake    = "handshake"    // version and key exchange (RFC 4253)
	PhaseAuthenticate = "authenticate" // after the host key was verified (RFC 4252)
)

// DialError means that a hop could not be reached, or that the SSH handshake did not succeed.
type DialError struct {
	Hop   string
	Addr  string
	Phase string // PhaseConnect, …

	// Said is what the host sent in place of an SSH version, made printable: "Not allowed at this
	// time", "Exceeded MaxStartups", a page of HTML.
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

// Timeout reports whether the dial took too long.
func (e *DialError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// timeoutError is the cause of a context that a hop's timer has ended.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("no answer within %v", e.after) }
func (e *timeoutError) Timeout() bool { return true }

// KeyError means that there is no key to offer; no host was contacted. It is for callers that look
// for the keys of a chain. Package chain does not return it.
type KeyError struct{ Err error }

func (e *KeyError) Error() string { return e.Err.Error() }
func (e *KeyError) Unwrap() error { return e.Err }

// AuthError means that a hop was reached, has the right host key, and refuses the login.
type AuthError struct {
	Hop  string
	User string

	// Offered names the key that was offered: its type, its SHA256 fingerprint and, for a
	// certificate, its identity and serial number.
	Offered string

	// Principals are the users that the offered certificate is for, if it was one.
	Principals []string

	// InTime is true if a certificate was offered that is valid now, by this machine's clock.
	InTime bool

	// Accepted is true if the server accepted the key and refused the login all the same: because
	// of the account (PAM), or because it requires another factor (Partial). Answered is true if
	// the user also answered the hop's questions (Options.Challenge).
	Accepted bool
	Partial  bool
	Answered bool

	// Methods are the authentication methods that the server named last (RFC 4252, section 5.1).
	Methods []string

	// Banner is the text of the server's banners, and Disconnect the reason with which it hung up.
	// Either may be empty. "You have no active jobs on this node" of pam_slurm_adopt arrives as a
	// banner.
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

// SignError means that the hop accepts the key, but that its holder, mostly an agent, did not sign.
type SignError struct {
	Hop     string
	Offered string // as in AuthError
	Err     error
}

func (e *SignError) Error() string {
	return fmt.Sprintf("sign for %s with %s: %v", e.Hop, e.Offered, e.Err)
}

func (e *SignError) Unwrap() error { return e.Err }

// A HostKeyKind says why a host key was refused.
type HostKeyKind string

const (
	HostKeyUnknown  HostKeyKind = "unknown"     // no entry for the host, and no user to ask
	HostKeyDeclined HostKeyKind = "declined"    // the user answered no
	HostKeyChanged  HostKeyKind = "changed"     // the host is known by another key
	HostKeyRevoked  HostKeyKind = "revoked"     // the key, or the authority that signed it, is marked @revoked
	HostKeyBadCert  HostKeyKind = "certificate" // signed by a known authority, but expired, for another host, …
)

// HostKeyError means that a host's key was refused.
type HostKeyError struct {
	Hop  string
	Host string // in the form of known_hosts: "ela.cscs.ch", "[localhost]:2222"
	Kind HostKeyKind

	KeyType     string // in the form of ssh: "ED25519"
	Fingerprint string // of the key that the host showed: "SHA256:…"

	// Line is, for an unknown key, the line that would make it known, and File is the known_hosts
	// file for that line. For a changed or revoked key, File and LineNumber (from 1) locate the
	// entry that contradicts it.
	Line       string
	File       string
	LineNumber int

	// Unread is, for an unknown key, the first unreadable known_hosts file; nil: there is none.
	Unread *PassedOverError

	// Fix is, for a changed key, the command that removes the old entry. The user must not run it
	// before the change is known to be genuine.
	Fix string

	Reason string // in words, for HostKeyBadCert and where more is known
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

// OpenError means that a hop refused to open a channel to Addr: a host and port, the path of a
// socket, or "session" for a command. It wraps an *ssh.OpenChannelError, whose Reason is that of
// RFC 4254, section 5.1.
type OpenError struct {
	Hop     string
	Addr    string
	Reason  string // "administratively prohibited", "connect failed", …
	Message string // of the server
	Err     error
}

func (e *OpenError) Error() string {
	if e.Message != "" && e.Message != e.Reason {
		return fmt.Sprintf("open %s from %s: %s: %s", e.Addr, e.Hop, e.Reason, e.Message)
	}
	return fmt.Sprintf("open %s from %s: %s", e.Addr, e.Hop, e.Reason)
}

func (e *OpenError) Unwrap() error { return e.Err }

// Prohibited reports whether the hop forbids connections to Addr, for every user or for this one.
func (e *OpenError) Prohibited() bool {
	var refused *ssh.OpenChannelError
	return errors.As(e.Err, &refused) && refused.Reason == ssh.Prohibited
}

// Refused reports whether the host at Addr answered that nothing listens there. The protocol has no
// code for that. sshd sends the text of its system (strerror(3)).
func (e *OpenError) Refused() bool {
	return strings.HasSuffix(strings.ToLower(e.Message), "connection refused")
}

// LostError means that an established chain has ended, and names the hop that broke. It never wraps
// io.EOF, since a Read may return it.
type LostError struct {
	Hop     string
	Silence time.Duration // how long nothing was received, if that is why the chain ended
	Err     error
}

func (e *LostError) Error() string {
	if e.Silence > 0 {
		return fmt.Sprintf("connection to %s lost: no answer for %v", e.Hop, e.Silence.Round(time.Second))
	}
	return fmt.Sprintf("connection to %s lost: %v", e.Hop, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }

// lastLine returns the last line of a server's message, which has the reason. The lines before are
// often the site's legal notice.
func lastLine(s string) string {
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

// disconnectMessage returns the text of an SSH_MSG_DISCONNECT (RFC 4253, section 11.1) in err. The
// type of x/crypto is not exported, so this function alone matches its text.
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

// sanitizeText makes a server's text printable on a terminal. Control characters, which could move
// the cursor or worse, become spaces.
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
