package doctor

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
)

// An Error reports what a check has found, if its ID says all that internal/problem needs for a hint.
type Error struct {
	ID      string // of the problem
	Message string
	Err     error // the cause; may be nil
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Err }

// errorf returns an Error with a formatted message.
func errorf(id, format string, args ...any) *Error {
	return &Error{ID: id, Message: fmt.Sprintf(format, args...)}
}

// newOvertimeError returns the error of a check that did not end in time.
func newOvertimeError(check string, after time.Duration) *Error {
	return errorf("overtime", "%s: no answer within %s", check, after.Round(100*time.Millisecond))
}

// ModeError reports that other users may write a file that decides where ssh connects to, or where
// passwords are sent.
type ModeError struct {
	Path string
	Mode uint32 // permission bits
	Fix  string // the command that fixes it
}

func (e *ModeError) Error() string {
	return fmt.Sprintf("other users can write %s: its permissions are %#o", e.Path, e.Mode)
}

// UnwritableError reports that cscs cannot store files in a directory of this machine.
type UnwritableError struct {
	Path  string
	IsSSH bool // for signed keys and accepted host keys, not for the state of cscs
	Err   error
}

func (e *UnwritableError) Error() string { return fmt.Sprintf("cannot write in %s: %v", e.Path, e.Err) }
func (e *UnwritableError) Unwrap() error { return e.Err }

// ClockError reports that this machine's clock is wrong.
type ClockError struct {
	Ahead time.Duration // how far this machine's clock is ahead, at least; negative: behind
	Of    string        // the owner of the other clock
	Guess bool          // from the time of a certificate's file, which may be a copy
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

// ShutKeyError reports that the key has a passphrase, and the doctor got none or a wrong one.
type ShutKeyError struct {
	Err    *key.PassphraseError
	Locked bool // the agent holds no keys and may be locked
}

func (e *ShutKeyError) Error() string {
	if e.Err.Tries > 0 {
		return "the passphrase that was given for the key " + e.Err.Path + " is wrong, so the key is not offered"
	}
	return "the key " + e.Err.Path + " has a passphrase, which was not given here, so the key is not offered; on a terminal every command asks for it"
}
func (e *ShutKeyError) Unwrap() error { return e.Err }

// PrincipalError reports that the certificate is not valid for the user's name at a host.
type PrincipalError struct {
	Host, User string
	For        []string
}

func (e *PrincipalError) Error() string {
	return fmt.Sprintf("the certificate for %s is for %s, not for %s", e.Host, strings.Join(e.For, ", "), e.User)
}

// ManyKeysError reports that the agent holds more keys than a server lets a client try.
type ManyKeysError struct {
	Keys int
	Only []ssh.PublicKey // those of the chosen keys that only the agent has
}

func (e *ManyKeysError) Error() string {
	return fmt.Sprintf("the agent has %d keys: ssh would offer them all, and a server disconnects after six (too many authentication failures)", e.Keys)
}

// FamilyError reports that a host answers by one IP version and not by the other.
type FamilyError struct {
	Host, Asked   string // Asked is the name in ssh's configuration
	Family, Other string // "IPv6", "IPv4"
	Addr          string
	Err           error
}

func (e *FamilyError) Error() string {
	return fmt.Sprintf("%s answers by %s, but not by %s (%s): %v", e.Host, e.Other, e.Family, e.Addr, e.Err)
}
func (e *FamilyError) Unwrap() error { return e.Err }

// newTalkError reports that the login shell's start-up files print text in a shell without a terminal.
func newTalkError(host, text string) *Error {
	lines := strings.Split(text, "\n")
	count := "1 line"
	if len(lines) != 1 {
		count = fmt.Sprintf("%d lines", len(lines))
	}
	return errorf("shell-talks", "the start-up files of the login shell on %s print %s in non-interactive shells, which breaks scp, sftp and rsync: %s", host, count, lines[0])
}

// PartitionError reports that Slurm starts no jobs.
type PartitionError struct {
	Name  string // the default partition; "": all partitions
	Where string // the login node
}

func (e *PartitionError) Error() string {
	if e.Name != "" {
		return "the default partition " + e.Name + " is down, or has no node that is up"
	}
	return "no partition is up and has a node that is"
}

// AccountError reports that jobs have no account to be charged to.
type AccountError struct {
	Account string // the chosen account; may be empty
	Known   []string
	Where   string // the login node
}

func (e *AccountError) Error() string {
	if len(e.Known) == 0 {
		return "Slurm knows no account of yours on this cluster"
	}
	return "the account " + e.Account + " is none of yours on this cluster"
}

// newQuotaError reports that a limit allows no further login or job.
func newQuotaError(id, what, where string, now, most int) *Error {
	return errorf(id, "you have %d of at most %d %ss at once on %s", now, most, what, where)
}
