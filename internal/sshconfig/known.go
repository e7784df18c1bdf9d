package sshconfig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/regular"
	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// Known is the known_hosts file (sshd(8)) for the nodes of sessions. ssh reads it after its
// ProxyCommand has begun to answer. So the ProxyCommand can write the keys of the node to which it
// connects, under the name that the user typed.
type Known string

// How long an entry stays, if its session is live and if not. ssh needs it for a moment only, but may
// be about to read it for a session that this machine does not know.
const (
	liveRetention = 24 * time.Hour
	deadRetention = time.Minute
)

// isSession reports whether a name is that of a session's node, as ssh writes it: cscs- and an ID or its beginning.
func isSession(name string) bool {
	begin, ok := strings.CutPrefix(name, Prefix)
	id, err := sessionid.ParsePrefix(begin)
	return ok && err == nil && id == begin
}

// Put replaces the keys of host. Keys are lines as in authorized_keys(5); Put ignores unknown types. It
// also removes old entries, sooner if lives reports false for their name.
func (k Known) Put(ctx context.Context, host, node string, keys []string, now time.Time, lives func(host string) bool) error {
	if !isSession(host) {
		return fmt.Errorf("remember the host keys of %.60q: it is no session's name", host)
	}
	if err := k.checkOwner(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(string(k)), 0o700); err != nil {
		return err
	}
	if err := owndir.CheckLinked(filepath.Dir(string(k))); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // other processes lock it for a moment
	defer cancel()
	lock := flock.New(string(k)+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return fmt.Errorf("lock %s: %w", k, err)
	}
	defer func() { _ = lock.Unlock() }()
	before, err := os.ReadFile(string(k))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return regular.Write(string(k), []byte(updateEntries(string(before), host, node, keys, now, lives)), 0o600)
}

// checkOwner stops root from creating the directory in another user's. An existing directory is checked
// further by Put.
func (k Known) checkOwner() error {
	err := owndir.CheckOwner(filepath.Dir(filepath.Dir(string(k))))
	if errors.As(err, new(*owndir.OwnerError)) {
		return err
	}
	return nil
}

// updateEntries returns the file's new content, with the given keys and without old entries.
func updateEntries(before, host, node string, keys []string, now time.Time, lives func(host string) bool) string {
	var b strings.Builder
	for line := range strings.Lines(before) {
		f := strings.Fields(line)
		if len(f) != 5 || f[0] == host || !isSession(f[0]) {
			continue
		}
		at, err := time.Parse(time.RFC3339, f[4])
		if age := now.Sub(at); err != nil || age > liveRetention || age > deadRetention && !lives(f[0]) {
			continue
		}
		b.WriteString(strings.Join(f, " ") + "\n")
	}
	for _, line := range keys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			continue
		}
		text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
		fmt.Fprintf(&b, "%s %s %s %s\n", host, text, sanitizeComment(node), now.UTC().Format(time.RFC3339))
	}
	return b.String()
}

// sanitizeComment makes one word of a comment.
func sanitizeComment(s string) string {
	return cmp.Or(strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r
		}
		return -1
	}, s), "-")
}
