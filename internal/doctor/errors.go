package doctor

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
)

// ModeError tells that others may write what decides where ssh goes, or where passwords are
// sent.
type ModeError struct {
	Path string
	Mode uint32 // permission bits
	Fix  string // the command that mends it
}

func (e *ModeError) Error() string {
	return fmt.Sprintf("others may write %s: its permissions are %#o", e.Path, e.Mode)
}

// UnwritableError tells that something of ours cannot be kept on this machine.
type UnwritableError struct {
	Path string
	Err  error
}

func (e *UnwritableError) Error() string { return fmt.Sprintf("cannot write in %s: %v", e.Path, e.Err) }
func (e *UnwritableError) Unwrap() error { return e.Err }

// SSHDirError tells that nothing new can be put beside ssh's configuration: no key that is
// signed, no host key that is accepted.
type SSHDirError struct {
	Path string
	Err  error
}

func (e *SSHDirError) Error() string { return fmt.Sprintf("cannot write in %s: %v", e.Path, e.Err) }
func (e *SSHDirError) Unwrap() error { return e.Err }

// ClockError tells that this machine's clock is not right.
type ClockError struct {
	Ahead time.Duration // of the other's, at least; less than 0: behind it
	Of    string        // whose clock it was compared with
	Guess bool          // by when a certificate was stored here, which may have been copied since
}

func (e *ClockError) Error() string {
	way, by := "ahead of", e.Ahead
	if by < 0 {
		way, by = "behind", -by
	}
	s := fmt.Sprintf("the clock of this machine is %s %s that of %s", roundDuration(by), way, e.Of)
	if e.Guess {
		s += ", going by when the certificate was stored here"
	}
	return s
}

func roundDuration(d time.Duration) time.Duration {
	if d > time.Minute {
		return d.Round(time.Second)
	}
	return d.Round(100 * time.Millisecond)
}

// ShutKeyError tells that the key has a passphrase, which the doctor was not given, or wrongly.
type ShutKeyError struct {
	Err    *key.PassphraseError
	Locked bool // the agent, which could be given it, may be locked
}

func (e *ShutKeyError) Error() string {
	if e.Err.Tries > 0 {
		return "the passphrase that was given for the key " + e.Err.Path + " is wrong, so nobody is shown the key"
	}
	return "the key " + e.Err.Path + " has a passphrase, which was not given here, so nobody is shown the key; on a terminal every command asks for it"
}
func (e *ShutKeyError) Unwrap() error { return e.Err }

// BareKeyError tells that the key has no certificate.
type BareKeyError struct{ Path string }

func (e *BareKeyError) Error() string { return "the key " + e.Path + " has no certificate" }

// ExpiresError tells that the certificate will soon run out.
type ExpiresError struct {
	Path  string
	Until time.Time
}

func (e *ExpiresError) Error() string {
	return fmt.Sprintf("the certificate of %s is valid only until %s", e.Path, e.Until.Local().Format("15:04"))
}

// PrincipalError tells that the certificate is for other users than the one that we are at
// a host.
type PrincipalError struct {
	Host, User string
	For        []string
}

func (e *PrincipalError) Error() string {
	return fmt.Sprintf("the certificate for %s is for %s, not for %s", e.Host, strings.Join(e.For, ", "), e.User)
}

// ManyKeysError tells that the agent holds more keys than a server lets a client try.
type ManyKeysError struct {
	Keys int
	Only []ssh.PublicKey // of those that are chosen, what nobody has but the agent
}

func (e *ManyKeysError) Error() string {
	return fmt.Sprintf("the agent holds %d keys: ssh would show them all, and a server hangs up after six (too many authentication failures)", e.Keys)
}

// LockedAgentError tells that the agent holds nothing, and does not say whether that is so.
type LockedAgentError struct{}

func (e *LockedAgentError) Error() string { return "the agent holds no keys, or is locked" }

// FamilyError tells that a host answers by one version of IP and not by the other.
type FamilyError struct {
	Host, Asked   string // the name that ssh was asked about, too
	Family, Other string // "IPv6", "IPv4"
	Addr          string
	Err           error
}

func (e *FamilyError) Error() string {
	return fmt.Sprintf("%s answers by %s, but not by %s (%s): %v", e.Host, e.Other, e.Family, e.Addr, e.Err)
}
func (e *FamilyError) Unwrap() error { return e.Err }

// TalkError tells that the login shell's start-up files print something where nobody reads it.
type TalkError struct {
	Host  string
	Lines int
	First string
}

func (e *TalkError) Error() string {
	lines := "1 line"
	if e.Lines != 1 {
		lines = fmt.Sprintf("%d lines", e.Lines)
	}
	return fmt.Sprintf("the start-up files of the login shell on %s print %s where no person reads them, which scp, sftp and rsync stumble over: %s", e.Host, lines, e.First)
}

// SlowShellError tells that the login shell takes long to begin.
type SlowShellError struct {
	Host string
	Took time.Duration
}

func (e *SlowShellError) Error() string {
	return fmt.Sprintf("the start-up files of the login shell on %s take %s", e.Host, roundDuration(e.Took))
}

// HomeFullError tells that there is little room left.
type HomeFullError struct {
	Path string
	Used int // percent
}

func (e *HomeFullError) Error() string {
	return fmt.Sprintf("the file system of %s is full to %d%%", e.Path, e.Used)
}

// PartitionError tells that Slurm starts nothing.
type PartitionError struct {
	Name  string // of the default one; "": of all
	Where string // the login node
}

func (e *PartitionError) Error() string {
	if e.Name != "" {
		return "the default partition " + e.Name + " is down, or has no node that is up"
	}
	return "no partition is up and has a node that is"
}

// AccountError tells that jobs have no account to be charged to.
type AccountError struct {
	Account string // that was chosen; "": none is needed to be
	Known   []string
	Where   string // the login node
}

func (e *AccountError) Error() string {
	if len(e.Known) == 0 {
		return "Slurm knows no account of yours on this cluster"
	}
	return "the account " + e.Account + " is none of yours on this cluster"
}

// QuotaError tells that there is no room for another login or job.
type QuotaError struct {
	What, Where string // "login", "daint"
	Now, Most   int
}

func (e *QuotaError) Error() string {
	return fmt.Sprintf("you have %d of the %d %ss that you may have at once on %s", e.Now, e.Most, e.What, e.Where)
}

// ClosedNodeError tells that a node is closed though a job of the user's runs there.
type ClosedNodeError struct {
	Node, Job string
	Why       string // as the user is told Err
	Err       error
}

func (e *ClosedNodeError) Error() string {
	return fmt.Sprintf("no ssh to %s though job %s runs there: %v", e.Node, e.Job, e.Why)
}
func (e *ClosedNodeError) Unwrap() error { return e.Err }
