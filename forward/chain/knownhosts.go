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

// KnownHosts are the host keys in known_hosts files, with OpenSSH's rules (sshd(8), SSH_KNOWN_HOSTS
// FILE FORMAT). It is stricter in these points:
//
//   - A key or authority marked @revoked is refused for every host, not only for those on the line.
//     A
//     @revoked line that cannot be read is an error.
//   - A host known by other keys only, of any type, counts as changed. If the type differs, ssh
//     asks as
//     for a new host, which helps an attacker who chooses another type.
//   - A host certificate of a known authority that is not valid is refused, unless the bare key is
//     known too. ssh asks.
//
// It implements HostKeys and may be used by many goroutines at once.
type KnownHosts struct {
	files []string
	ask   AskFunc

	asking sync.Mutex // one question at a time

	mu      sync.Mutex
	list    hostList
	saved   []entry // accepted by Check, even if they could not be written
	unsaved []error // why entries could not be written
}

// OpenKnownHosts reads known_hosts files, first those of the user and then the system's. It ignores
// files that do not exist, and "none". It also ignores files and lines that it cannot read;
// Warnings returns those. Check asks about an unknown host, and refuses it if ask is nil. After a
// yes, it appends the key to the first file.
//
// The error is a *KnownHostsError for a @revoked line that cannot be read.
func OpenKnownHosts(files []string, ask AskFunc) (*KnownHosts, error) {
	list, err := readFiles(files)
	if err != nil {
		return nil, err
	}
	return &KnownHosts{files: files, ask: ask, list: list}, nil
}

// readFiles reads the files into one list. Those that cannot be read are in list.passed.
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

// errNoFile means that the path exists but can hold no data.
var errNoFile = errors.New("it is no regular file")

// readFile reads a known_hosts file. It does not read a pipe, which would block. A device, mostly
// the null device, counts as empty.
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

// Warnings returns a *PassedOverError for each ignored file or line, and an error for each key that
// could not be written.
func (k *KnownHosts) Warnings() (all []error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.list.passed {
		all = append(all, p)
	}
	return append(all, k.unsaved...)
}

// unreadFile returns the first file that could not be read, or nil.
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

// Algorithms implements HostKeys. If an authority is known for the host, certificates are first.
// The types of the host's known keys follow, and then the rest. So a host known by one of its keys
// shows that one. A host without entries gets the defaults.
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
		// The user or another program may have changed the files since they were read.
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

// reloadFiles reads the files again. Keys accepted meanwhile stay.
func (k *KnownHosts) reloadFiles() {
	if len(k.files) == 0 {
		return
	}
	list, err := readFiles(k.files)
	if err != nil {
		return // the previous list remains
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	list.entries = append(list.entries, k.saved...)
	k.list = list
}

// confirmKey asks the user whether an unknown key is the host's, and saves it after a yes.
func (k *KnownHosts) confirmKey(ctx context.Context, host string, remote net.Addr, key ssh.PublicKey) error {
	k.asking.Lock()
	defer k.asking.Unlock()
	refusal := k.checkKey(host, key) // the previous question may have been about this key
	switch {
	case refusal == nil:
		return nil
	case refusal.Kind != HostKeyUnknown:
		return refusal
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

// saveKey adds the key to the list and appends it to the first file.
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
		k.unsaved = append(k.unsaved, fmt.Errorf("the key of %s could not be stored: %w", host, err))
	}
}

// otherNames returns the entries that have the same key for other hosts, in the words of ssh.
func (k *KnownHosts) otherNames(key ssh.PublicKey) (known []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.list.entries {
		if e.file == "" || e.authority || !sameKey(e.key, key) {
			continue
		}
		known = append(known, fmt.Sprintf("%s:%d: %s", e.file, e.line, e.hosts))
	}
	return known
}

// bareKey returns the key itself, without its certificate.
func bareKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}
