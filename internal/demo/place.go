package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/peer"
)

// A Place is where the processes of a user's find the one that is the cluster: a directory,
// the user's alone, with what config.toml says of a cluster, a key, the hosts' keys, the
// door, and a lock that the cluster holds. A lock that nobody holds beside files means
// that a cluster was killed; who comes next tidies.
type Place struct {
	Dir string // made if it is not there; its parent is one for such files
}

const (
	lockFile = "lock"
	doorFile = "door" // the address of a port of the loopback, see door.go
)

// A Visit keeps the cluster alive.
type Visit struct {
	Config string // a file in the form of config.toml: the way to the cluster
	Fresh  bool   // the cluster was made for it: of any that was there before, nothing is left
	door   net.Conn
}

// Enter joins the cluster that is at the place, or starts one. It lives for as long as
// somebody visits it, or has a job there.
func (p Place) Enter(ctx context.Context) (*Visit, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	fresh := false
	for {
		there, err := p.Lives()
		if err == nil && !there {
			fresh, err = true, p.startCluster(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("start the demo's cluster: %w", err)
		}
		v, err := p.joinCluster(ctx)
		if err != nil {
			return nil, err
		}
		if v != nil {
			v.Fresh = fresh
			return v, nil
		}
		// One that is about to come, or to go.
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("reach the demo's cluster in %s: %w", p.Dir, ctx.Err())
		}
	}
}

// Lives reports whether the cluster is there: a process holds the place. A place that is not the
// user's alone is an *owndir.Error.
func (p Place) Lives() (bool, error) {
	if err := owndir.Check(p.Dir); errors.Is(err, owndir.ErrShared) {
		return false, err
	}
	if _, err := os.Stat(p.filePath(lockFile)); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(p.filePath(lockFile))
	free, err := lock.TryLock()
	if free {
		_ = lock.Close()
	}
	return !free, err
}

func (p Place) filePath(name string) string { return filepath.Join(p.Dir, name) }

// joinCluster enters the cluster that is there; nil: there is none, or not yet, or not any more. The
// error is an *OtherVersionError.
func (p Place) joinCluster(ctx context.Context) (*Visit, error) {
	addr, err := os.ReadFile(p.filePath(doorFile))
	if err != nil {
		return nil, nil //nolint:nilerr // there is none
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimSpace(string(addr)))
	if err != nil {
		return nil, nil //nolint:nilerr // it has gone
	}
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	word, err := bufio.NewReader(io.LimitReader(conn, int64(len(greetingLine())))).ReadString('\n')
	switch {
	case err == nil && isStranger(conn):
		err = nil // which has got the port of a cluster that was killed
	case err == nil && word == greetingLine():
		return &Visit{Config: p.filePath(clusterFile), door: conn}, nil
	case err == nil && strings.HasPrefix(word, greetingPrefix):
		err = &OtherVersionError{Dir: p.Dir}
	default:
		err = nil // it is going, or another program has got its port
	}
	_ = conn.Close()
	return nil, err
}

// isStranger reports whether the process at the other end is another user's, as far as the kernel
// says.
func isStranger(conn net.Conn) bool {
	return peer.Func(peer.UID).Judge(os.Getuid(), conn.RemoteAddr(), conn.LocalAddr()) == peer.Stranger
}

// Leave ends the visit, and waits for the end of the cluster if nobody else needs it. stays
// reports that somebody does.
func (v *Visit) Leave(ctx context.Context) (stays bool) {
	defer func() { _ = v.door.Close() }()
	defer context.AfterFunc(ctx, func() { _ = v.door.Close() })()
	if half, ok := v.door.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
	_ = v.door.SetReadDeadline(time.Now().Add(10 * time.Second))
	word, _ := io.ReadAll(v.door)
	return string(word) == stayWord
}

// startCluster starts a cluster at the place, in a process of its own, and returns when it can be
// joined, or another has been quicker.
func (p Place) startCluster(ctx context.Context) error {
	if !helperCalled {
		return errors.New("main does not call demo.Helper")
	}
	self, err := ownExecutable()
	if err != nil {
		return err
	}
	// It outlives us, and ctx.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self)
	cmd.Args = []string{"cscs", p.Dir}
	cmd.Env = append(os.Environ(), helperEnv+"="+clusterHelper)
	cmd.Dir = os.TempDir() // not ours, which may be about to be removed
	cmd.SysProcAttr = detachedProcAttr()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = out.Close() })
	said, err := bufio.NewReader(out).ReadString('\n')
	stop()
	_ = out.Close()
	switch said = strings.TrimSpace(said); {
	case said == readyWord || said == takenWord:
		return cmd.Process.Release()
	case said != "":
		_ = cmd.Wait()
		return errors.New(said)
	case ctx.Err() != nil:
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return ctx.Err()
	}
	_ = cmd.Wait()
	return fmt.Errorf("it ended before it began: %w", err)
}
