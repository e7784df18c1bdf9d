package share

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/peer"
)

// A Rendezvous is where the processes that may share a chain meet: a lock and a socket.
type Rendezvous struct {
	Dir string // the user's alone; created if missing; if empty, nothing is shared

	// Key tells apart ways that must not be shared: the hops, the users there, the identity. None
	// of it is visible in the file system.
	Key []string

	Host string // the name of the last hop (chain.Hop)

	// Wait is how long Dial waits for the dial of another process; 0 means 35 s.
	Wait time.Duration

	// ClientOnly is for a process that ends soon. It joins but never becomes the sharing process,
	// so no process has to move when it ends.
	ClientOnly bool

	nth int // number among the connections for the same way
}

// basePath returns the common path of the rendezvous' files. It is short, since a socket's path has
// at most 104 bytes (Linux: 108). It depends on the host name, since hosts may share a home
// directory.
func (p Rendezvous) basePath() string {
	host, _ := os.Hostname()
	h := sha256.New()
	for _, s := range append([]string{host, strconv.Itoa(p.nth)}, p.Key...) {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	name := base32.StdEncoding.EncodeToString(h.Sum(nil)[:10])
	return filepath.Join(p.Dir, strings.ToLower(name))
}

func (p Rendezvous) socketPath() string { return p.basePath() + ".sock" }
func (p Rendezvous) lockPath() string   { return p.basePath() + ".lock" }

var errNoDirectory = errors.New("no directory to share it in")

// prepareDir creates the directory if it is missing. It must be the user's alone.
func (p Rendezvous) prepareDir() error {
	if p.Dir == "" {
		return errNoDirectory
	}
	if !peer.KnowsSockets {
		return peer.ErrNoPeer
	}
	if err := owndir.Make(p.Dir); err != nil {
		return fmt.Errorf("share the connection: %w", err)
	}
	return nil
}

// Served reports whether a process listens at the rendezvous.
func (p Rendezvous) Served() bool {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: p.socketPath(), Net: "unix"})
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// A heldRendezvous is the right to serve a rendezvous: the lock, and the socket that it covers.
// Only the holder of the lock creates or removes the socket's file.
type heldRendezvous struct {
	lock     *flock.Flock
	listener *net.UnixListener
	path     string
	file     os.FileInfo // of the socket, to recognise it
}

// lockAndListen takes the rendezvous. The error is ErrTaken if another process holds the lock.
func (p Rendezvous) lockAndListen() (*heldRendezvous, error) {
	lock := flock.New(p.lockPath())
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("share the connection: %w", err)
	}
	if !locked {
		return nil, ErrTaken
	}
	h := &heldRendezvous{lock: lock, path: p.socketPath()}
	if err := h.listenSocket(); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("share the connection: %w", err)
	}
	return h, nil
}

// listenSocket creates the socket with mode 0600, in place of a stale file.
func (h *heldRendezvous) listenSocket() error {
	if err := os.Remove(h.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // a file of a killed sharing process could not be removed
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false) // the file could be another process's by then
	if err = os.Chmod(h.path, 0o600); err == nil {
		h.file, err = os.Lstat(h.path)
	}
	if err != nil {
		_ = l.Close()
		return err
	}
	h.listener = l
	return nil
}

// ownsSocket reports whether the file at the path is still the socket that this process created. A
// logout removes the runtime directory, and another process may then serve a new socket there.
func (h *heldRendezvous) ownsSocket() bool {
	file, err := os.Lstat(h.path)
	return err == nil && os.SameFile(file, h.file)
}

// release removes the socket's file, closes the listener and releases the lock. The kernel drops
// the connections that wait to be accepted.
func (h *heldRendezvous) release() {
	if h.ownsSocket() {
		_ = os.Remove(h.path)
	}
	_ = h.listener.Close()
	_ = h.lock.Close()
}
