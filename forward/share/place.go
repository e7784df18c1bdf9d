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

// A Rendezvous is where the processes that may share a chain meet.
type Rendezvous struct {
	Dir string // the user's alone; made if it is not there; "": nothing is shared

	// Key tells ways apart that must not be shared: the hops, the users there, the
	// identity. Nothing of it is seen in the file system.
	Key []string

	Host string // what the last hop is called (chain.Hop)

	// Wait is how long another's dial may be waited for; 0: 35 s.
	Wait time.Duration

	// Guest is for a process that ends soon: it joins, but is nobody's owner, so that nobody
	// has to move when it ends.
	ClientOnly bool

	nth int // of several connections for the same way
}

// basePath is the name of the place's files. It is short, for a socket's path has 104
// bytes at most (Linux: 108), and is another on each host, for several may share a home.
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

// prepareDir sees to it that the directory is there and is the user's alone.
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

// Served reports whether a process listens at the place.
func (p Rendezvous) Served() bool {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: p.socketPath(), Net: "unix"})
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// heldRendezvous is the right to serve a place: the lock, and the socket that it covers. Only
// who holds the lock makes or removes the socket's file.
type heldRendezvous struct {
	lock     *flock.Flock
	listener *net.UnixListener
	path     string
	file     os.FileInfo // of the socket
}

// lockAndListen takes the place, or fails with ErrTaken.
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

func (h *heldRendezvous) listenSocket() error {
	if err := os.Remove(h.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // of an owner that was killed
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false) // it would be another's by then
	if err := os.Chmod(h.path, 0o600); err != nil {
		_ = l.Close()
		return err
	}
	if h.file, err = os.Lstat(h.path); err != nil {
		_ = l.Close()
		return err
	}
	h.listener = l
	return nil
}

// ownsSocket reports whether the socket at the path is the one that this process has made. A logout removes the
// runtime directory with it, and then another process can have the place.
func (h *heldRendezvous) ownsSocket() bool {
	file, err := os.Lstat(h.path)
	return err == nil && os.SameFile(file, h.file)
}

// release gives the place up. Who waits to be accepted is sent away.
func (h *heldRendezvous) release() {
	if h.ownsSocket() {
		_ = os.Remove(h.path)
	}
	_ = h.listener.Close()
	_ = h.lock.Close()
}
