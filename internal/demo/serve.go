package demo

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/slurm"
)

// The messages to visitors, and to the process that has started the cluster.
const (
	greetingPrefix = "cscs demo "
	stayWord       = "stays\n"
	readyWord      = "ready"
	takenWord      = "taken"
)

// greetingLine returns the line that a visitor receives first: the version of the cluster.
func greetingLine() string { return greetingPrefix + slurm.ScriptSum() + "\n" }

// OtherVersionError reports that another version of cscs runs the cluster.
type OtherVersionError struct{ Dir string }

func (e *OtherVersionError) Error() string {
	return "a demo of another version of cscs is at work (in " + e.Dir + "): end its sessions with that one's cscs stop --all, and try again"
}

// A door counts a cluster's visitors: each holds a connection to it. Nothing secret passes the
// door, and it gives no access to the cluster.
type door struct {
	listener net.Listener
	cluster  *Cluster
	place    Place
	lock     *flock.Flock

	mu       sync.Mutex
	visitors map[net.Conn]bool
	leaving  []net.Conn // have ended their visit and wait for the answer
	visited  bool
	kept     bool // the cluster needs no visitors (Serve)
	ending   bool
	ended    chan struct{} // closed when everything has ended
}

// errTaken reports that another process runs the cluster of this place.
var errTaken = errors.New(takenWord)

// firstVisit is how long a new cluster waits for its first visitor.
const firstVisit = 20 * time.Second

// openDoor makes the cluster of a place in this process. The cluster ends with its last visitor
// and its last job, or by Shut. First openDoor removes the files of a cluster that was killed.
func (p Place) openDoor() (*door, error) {
	if err := owndir.Make(p.Dir); err != nil {
		return nil, err
	}
	d := &door{place: p, lock: flock.New(p.filePath(lockFile), flock.SetPermissions(0o600)), visitors: map[net.Conn]bool{}, ended: make(chan struct{})}
	got, err := d.lock.TryLock()
	switch {
	case err != nil:
		return nil, err
	case !got || !d.sameLock(): // or the lock is of a cluster that has just ended
		_ = d.lock.Close()
		return nil, errTaken
	}
	if err := d.makeCluster(); err != nil {
		p.removeFiles()
		_ = d.lock.Close()
		return nil, err
	}
	return d, nil
}

// sameLock reports whether the locked file is still the one at the lock's path.
func (d *door) sameLock() bool {
	named, err := os.Stat(d.lock.Path())
	if err != nil {
		return false
	}
	held, err := d.lock.Stat()
	return err == nil && os.SameFile(named, held)
}

// makeCluster starts the cluster, writes the place's files, and accepts visitors.
func (d *door) makeCluster() error {
	d.place.removeFiles()
	c, err := newCluster(d.place.Dir, func() { d.perhapsEnd() })
	if err != nil {
		return err
	}
	d.cluster = c
	if d.listener, err = net.Listen("tcp", "127.0.0.1:0"); err == nil { //nolint:noctx // it is done at once
		err = d.cluster.writeClientConfig()
	}
	if err == nil { // last, so a process that reads it finds everything in place
		file := d.place.filePath(doorFile)
		if err = os.WriteFile(file+".new", []byte(d.listener.Addr().String()+"\n"), 0o600); err == nil {
			err = os.Rename(file+".new", file)
		}
	}
	if err != nil {
		d.cluster.Close()
		return err
	}
	go d.acceptVisitors()
	time.AfterFunc(firstVisit, func() {
		d.mu.Lock()
		d.visited = true
		d.mu.Unlock()
		d.perhapsEnd()
	})
	return nil
}

// removeFiles removes everything at the place except the lock.
func (p Place) removeFiles() {
	entries, _ := os.ReadDir(p.Dir)
	for _, e := range entries {
		if e.Name() != lockFile {
			_ = os.RemoveAll(filepath.Join(p.Dir, e.Name()))
		}
	}
}

// Pauses after a failed accept, for example without free descriptors.
const (
	acceptPause    = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// acceptVisitors accepts visitors until the listener is closed.
func (d *door) acceptVisitors() {
	pause := acceptPause
	for {
		conn, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			<-time.After(pause)
			pause = min(2*pause, acceptPauseMax)
			continue
		}
		pause = acceptPause
		if isStranger(conn) {
			_ = conn.Close()
			continue
		}
		d.mu.Lock()
		if d.ending {
			_ = conn.Close()
			d.mu.Unlock()
			continue
		}
		d.visitors[conn], d.visited = true, true
		d.mu.Unlock()
		go d.serveVisitor(conn)
	}
}

// serveVisitor serves one visitor until it leaves.
func (d *door) serveVisitor(conn net.Conn) {
	_, _ = io.WriteString(conn, greetingLine())
	_, _ = io.Copy(io.Discard, conn)
	d.mu.Lock()
	delete(d.visitors, conn)
	d.leaving = append(d.leaving, conn)
	d.mu.Unlock()
	if !d.perhapsEnd() {
		d.closeLeaving(stayWord)
	}
}

// closeLeaving answers the visitors that have left, and closes their connections.
func (d *door) closeLeaving(word string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, conn := range d.leaving {
		_, _ = io.WriteString(conn, word)
		_ = conn.Close()
	}
	d.leaving = nil
}

// perhapsEnd ends the cluster unless something needs it. It reports whether nothing does.
func (d *door) perhapsEnd() bool {
	d.mu.Lock()
	needed := d.kept || !d.visited || len(d.visitors) > 0 || d.cluster.ctl.hasJobs()
	if !needed {
		d.beginEnd()
	}
	d.mu.Unlock()
	return !needed
}

// beginEnd ends the cluster in the background. The caller holds the lock.
func (d *door) beginEnd() {
	if !d.ending {
		d.ending = true
		go d.endCluster()
	}
}

// Serve makes the cluster of a place in this process, for others to join, until stop is called.
func (p Place) Serve() (c *Cluster, stop func(), err error) {
	d, err := p.openDoor()
	if err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	d.kept = true
	d.mu.Unlock()
	return d.cluster, func() { d.Shut(); d.closeConns() }, nil
}

// Shut ends the cluster, even if it has visitors or jobs, and waits for its end.
func (d *door) Shut() {
	d.mu.Lock()
	d.beginEnd()
	d.mu.Unlock()
	<-d.ended
}

// endCluster ends the cluster and removes its files. It removes the door's file first, so that
// no new visitor comes.
func (d *door) endCluster() {
	defer close(d.ended)
	_ = os.Remove(d.place.filePath(doorFile))
	_ = d.listener.Close()
	d.cluster.Close()
	d.place.removeFiles()
	// Remove the lock file last, while the lock is held. Windows cannot remove an open file.
	held := os.Remove(d.place.filePath(lockFile))
	_ = d.lock.Close()
	if held != nil {
		_ = os.Remove(d.place.filePath(lockFile))
	}
	_ = owndir.RemoveEmpty(d.place.Dir)
	_ = owndir.RemoveEmpty(filepath.Dir(d.place.Dir))
}

// closeConns tells the visitors that the cluster has ended. A process that does nothing else leaves
// this to the system, so that they learn of its own end.
func (d *door) closeConns() {
	d.closeLeaving("")
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn := range d.visitors {
		_ = conn.Close()
	}
}

// serveCluster runs the cluster of a place in this process. It writes one line to out, for the
// process that has started it.
func serveCluster(dir string, out io.WriteCloser) error {
	d, err := Place{Dir: dir}.openDoor()
	if err != nil {
		fmt.Fprintln(out, err)
		_ = out.Close()
		if errors.Is(err, errTaken) {
			return nil
		}
		return err
	}
	fmt.Fprintln(out, readyWord)
	_ = out.Close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-signals:
		d.Shut()
	}
	return nil
}
