package chain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/regular"
)

// KnownHosts are the host keys in known_hosts files, with OpenSSH's rules (sshd(8),
// SSH_KNOWN_HOSTS FILE FORMAT), but for these, where it is the stricter:
//
//   - a key or authority that is marked @revoked is refused for every host, not
//     only for those that the line names, and a @revoked line that cannot be read
//     is an error, not passed over;
//   - a host that is known by other keys only, of whatever type, counts as
//     changed: ssh asks as if it were new when the type differs, which gives way to whoever
//     answers in its place with a key of a type of their choice;
//   - a host certificate that a known authority signed, but that does not hold,
//     is refused unless the bare key is known as well; ssh asks.
//
// It implements HostKeys and may be used by many goroutines at once.
type KnownHosts struct {
	files []string
	ask   AskFunc

	asking sync.Mutex // one question at a time

	mu      sync.Mutex
	list    hostList
	saved   []entry // accepted by Check, whether they could be written or not
	unsaved []error // what could not be written
}

// OpenKnownHosts reads known_hosts files: those of the user, then the system's. Files that
// do not exist are passed over, and so is "none"; files and lines that cannot be
// read are, too, but Warnings tells. A host that is not known is asked about;
// with a nil ask it is refused. A yes is appended to the first of the files.
//
// The error is a *KnownHostsError: a @revoked line that cannot be read.
func OpenKnownHosts(files []string, ask AskFunc) (*KnownHosts, error) {
	k := &KnownHosts{files: files, ask: ask}
	list, err := readFiles(files)
	if err != nil {
		return nil, err
	}
	k.list = list
	return k, nil
}

// ParseKnownHosts makes KnownHosts of data in the form of a known_hosts file,
// which messages call name. Nobody is asked, nothing is written.
func ParseKnownHosts(name string, data []byte) (*KnownHosts, error) {
	k := &KnownHosts{}
	if err := k.list.parseFile(name, data); err != nil {
		return nil, err
	}
	return k, nil
}

func readFiles(files []string) (list hostList, err error) {
	for _, file := range files {
		if file == "none" || file == os.DevNull {
			continue
		}
		data, err := readFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			list.passed = append(list.passed, &PassedOverError{File: file, Err: err})
			continue
		}
		if err := list.parseFile(file, data); err != nil {
			return list, err
		}
	}
	return list, nil
}

// errNoFile: something of that name is there, and can hold nothing.
var errNoFile = errors.New("it is no regular file")

// readFile reads a known_hosts file. Of a pipe there would be no end; a device, which is
// mostly the null one, is empty.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, regular.Reason(err)
	case info.Mode()&fs.ModeDevice != 0:
		return nil, nil
	case !info.Mode().IsRegular():
		return nil, errNoFile
	}
	data, err := os.ReadFile(name)
	return data, regular.Reason(err)
}

// Warnings tells which files and lines were passed over, each a *PassedOverError, and what could
// not be written.
func (k *KnownHosts) Warnings() (all []error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.list.passed {
		all = append(all, p)
	}
	return append(all, k.unsaved...)
}

// unreadFile is the first of the files that could not be read; nil if all could.
func (k *KnownHosts) unreadFile() *PassedOverError {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.list.passed {
		if p.Line == 0 {
			return p
		}
	}
	return nil
}

// Algorithms implements HostKeys: certificates first if an authority is known
// for the host, then the types of its known keys, then the rest, so that a host
// that is known by one of its keys shows that one. A host known by nothing gets
// the defaults.
func (k *KnownHosts) Algorithms(host string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.list.keyAlgorithms(host)
}

// Check implements HostKeys.
func (k *KnownHosts) Check(ctx context.Context, host string, remote net.Addr, key ssh.PublicKey) error {
	refusal := k.checkKey(host, key)
	if refusal == nil {
		return nil
	}
	if refusal.Kind == HostKeyUnknown || refusal.Kind == HostKeyChanged {
		// Another program, or the user, may have mended it since it was read.
		k.reloadFiles()
		if refusal = k.checkKey(host, key); refusal == nil {
			return nil
		}
	}
	if refusal.Kind != HostKeyUnknown {
		return refusal
	}
	return k.confirmKey(ctx, host, remote, key)
}

func (k *KnownHosts) checkKey(host string, key ssh.PublicKey) *HostKeyError {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.list.checkKey(host, key)
}

func (k *KnownHosts) reloadFiles() {
	if len(k.files) == 0 {
		return
	}
	list, err := readFiles(k.files)
	if err != nil {
		return // what was read before still stands
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	list.entries = append(list.entries, k.saved...)
	k.list = list
}

// confirmKey asks whether an unknown key is the host's, and remembers a yes.
func (k *KnownHosts) confirmKey(ctx context.Context, host string, remote net.Addr, key ssh.PublicKey) error {
	k.asking.Lock()
	defer k.asking.Unlock()
	refusal := k.checkKey(host, key) // the question before may have been the same
	if refusal == nil || refusal.Kind != HostKeyUnknown {
		return refusal.orNil()
	}
	key = bareKey(key)
	if len(k.files) > 0 {
		refusal.File = k.files[0]
	}
	refusal.Unread = k.unreadFile()
	if refusal.Line == "" || k.ask == nil {
		return refusal
	}
	yes, err := k.ask(ctx, Question{
		Host: host, Remote: remote, KeyType: refusal.KeyType, Fingerprint: refusal.Fingerprint,
		Line: refusal.Line, File: refusal.File, Known: k.otherNames(key),
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		refusal.Reason = err.Error()
		return refusal
	case !yes:
		refusal.Kind = HostKeyDeclined
		return refusal
	}
	k.saveKey(host, key)
	return nil
}

// orNil keeps a nil *HostKeyError from becoming an error that is not nil.
func (e *HostKeyError) orNil() error {
	if e == nil {
		return nil
	}
	return e
}

func (k *KnownHosts) saveKey(host string, key ssh.PublicKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := entry{hosts: patterns{host}, key: key}
	k.saved = append(k.saved, e)
	k.list.entries = append(k.list.entries, e)
	if len(k.files) == 0 || k.files[0] == "none" || k.files[0] == os.DevNull {
		return
	}
	if err := appendHost(k.files[0], host, key); err != nil {
		k.unsaved = append(k.unsaved, fmt.Errorf("the key of %s could not be remembered: %w", host, err))
	}
}

// otherNames are the entries that have the same key for other hosts, in ssh's
// words.
func (k *KnownHosts) otherNames(key ssh.PublicKey) (known []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.list.entries {
		if e.file == "" || e.authority || !sameKey(e.key, key) {
			continue
		}
		name := e.hosts.String()
		if _, ok := e.hosts.(hashed); ok {
			name = "[hashed name]"
		}
		known = append(known, fmt.Sprintf("%s:%d: %s", e.file, e.line, name))
	}
	return known
}

// bareKey is the key itself, out of its certificate.
func bareKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}
