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
	"github.com/alps-tunnel/cscs/internal/spawn"
)

// A Place is where the user's processes find the cluster's process: a directory that only the
// user may access. It holds the cluster's config.toml, a key, the hosts' keys, the door's
// address, and a lock that the cluster holds. Files beside a lock that no process holds are of
// a cluster that was killed. The next cluster removes them.
type Place struct {
	Dir string // created if missing, also its parent
}

const (
	lockFile = "lock"
	doorFile = "door" // the door's address, a port of the loopback (serve.go)
)

// A Visit keeps the cluster running.
type Visit struct {
	Config string // the route to the cluster, in the form of config.toml
	Fresh  bool   // this visit started the cluster; nothing of an earlier one is left
	door   net.Conn
}

// Enter joins the cluster at the place, or starts one. The cluster runs for as long as it has a
// visit or a job.
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
		// Another cluster is starting or ending.
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("reach the demo's cluster in %s: %w", p.Dir, ctx.Err())
		}
	}
}

// Lives reports whether a cluster runs at the place, that is, a process holds the lock. If users
// other than this one may access the place, the error is an *owndir.Error.
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

// joinCluster joins the cluster at the place. It returns nil if there is none, or it is starting
// or ending. The error is an *OtherVersionError.
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
		err = nil // a stranger has the port of a cluster that was killed
	case err == nil && word == greetingLine():
		return &Visit{Config: p.filePath(clusterFile), door: conn}, nil
	case err == nil && strings.HasPrefix(word, greetingPrefix):
		err = &OtherVersionError{Dir: p.Dir}
	default:
		err = nil // the cluster is ending, or another program has its port
	}
	_ = conn.Close()
	return nil, err
}

// isStranger reports whether the process at the other end is another user's, as far as the kernel
// tells.
func isStranger(conn net.Conn) bool {
	return peer.Func(peer.UID).Judge(os.Getuid(), conn.RemoteAddr(), conn.LocalAddr()) == peer.Stranger
}

// Leave ends the visit. If no other visitor or job needs the cluster, it waits for the cluster's
// end. stays reports that the cluster stays.
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

// startCluster starts a cluster at the place, in a process of its own. It returns when that
// cluster, or another one, can be joined.
func (p Place) startCluster(ctx context.Context) error {
	if !helperCalled {
		return errors.New("main does not call demo.Helper")
	}
	self, err := spawn.Executable()
	if err != nil {
		return err
	}
	// The cluster outlives this process and ctx.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self)
	cmd.Args = []string{"cscs", p.Dir}
	cmd.Env = append(os.Environ(), helperEnv+"="+clusterHelper)
	cmd.Dir = os.TempDir() // the current directory may be removed meanwhile
	cmd.SysProcAttr = spawn.Detached()
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
