package doctor

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
)

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

// UnwritableError reports that cscs cannot store files on this machine.
type UnwritableError struct {
	Path string
	Err  error
}

func (e *UnwritableError) Error() string { return fmt.Sprintf("cannot write in %s: %v", e.Path, e.Err) }
func (e *UnwritableError) Unwrap() error { return e.Err }

// SSHDirError reports that no file can be added to ssh's configuration directory: no signed key
// and no accepted host key.
type SSHDirError struct {
	Path string
	Err  error
}

func (e *SSHDirError) Error() string { return fmt.Sprintf("cannot write in %s: %v", e.Path, e.Err) }
func (e *SSHDirError) Unwrap() error { return e.Err }

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

// BareKeyError reports that the key has no certificate.
type BareKeyError struct{ Path string }

func (e *BareKeyError) Error() string { return "the key " + e.Path + " has no certificate" }

// ExpiresError reports that the certificate expires soon.
type ExpiresError struct {
	Path  string
	Until time.Time
}

func (e *ExpiresError) Error() string {
	return fmt.Sprintf("the certificate of %s is valid only until %s", e.Path, e.Until.Local().Format("15:04"))
}

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

// LockedAgentError reports that the agent holds no keys or is locked. The agent does not tell which.
type LockedAgentError struct{}

func (e *LockedAgentError) Error() string { return "the agent holds no keys, or is locked" }

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

// TalkError reports that the login shell's start-up files print text in a shell without a terminal.
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
	return fmt.Sprintf("the start-up files of the login shell on %s print %s in non-interactive shells, which breaks scp, sftp and rsync: %s", e.Host, lines, e.First)
}

// SlowShellError reports that the login shell starts slowly.
type SlowShellError struct {
	Host string
	Took time.Duration
}

func (e *SlowShellError) Error() string {
	return fmt.Sprintf("the start-up files of the login shell on %s take %s", e.Host, roundDuration(e.Took))
}

// HomeFullError reports that the home file system is almost full.
type HomeFullError struct {
	Path string
	Used int // percent
}

func (e *HomeFullError) Error() string {
	return fmt.Sprintf("the file system of %s is %d%% full", e.Path, e.Used)
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

// QuotaError reports that a limit allows no further login or job.
type QuotaError struct {
	What, Where string // "login", "daint"
	Now, Most   int
}

func (e *QuotaError) Error() string {
	return fmt.Sprintf("you have %d of at most %d %ss at once on %s", e.Now, e.Most, e.What, e.Where)
}

// ClosedNodeError reports that a node refuses SSH although a job of the user runs there.
type ClosedNodeError struct {
	Node, Job string
	Why       string // Err in the words for the user
	Err       error
}

func (e *ClosedNodeError) Error() string {
	return fmt.Sprintf("no ssh to %s though job %s runs there: %v", e.Node, e.Job, e.Why)
}
func (e *ClosedNodeError) Unwrap() error { return e.Err }
