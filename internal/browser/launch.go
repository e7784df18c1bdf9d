package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/pkg/browser"
)

// helperEnv carries the link to the helper. It is the one-use link, or a file's
// name, so that it may be seen.
const helperEnv = "CSCS_BROWSER_HELPER"

// Helper must be the first call of main, which must return if it returns true:
// this process is a child that [Open] started to start the browser, and has
// done so.
//
// It is a process and not a goroutine because what starts the browser
// (xdg-open) may well become the browser, so that waiting for it takes until
// the user closes that; and because it needs a session of its own.
func Helper() bool {
	at, ok := os.LookupEnv(helperEnv)
	if !ok {
		helperCalled = true
		return false
	}
	_ = os.Unsetenv(helperEnv)
	// Ours is the pipe to the parent: who inherited it would keep it open.
	browser.Stdout, browser.Stderr = nil, nil
	if err := browser.OpenURL(at); err != nil {
		fmt.Fprint(os.Stdout, err) //nolint:forbidigo // it is a pipe to the parent
	}
	return true
}

// helperCalled is true if main has called Helper. Otherwise the child would be
// another cscs, without arguments.
var helperCalled bool

// A launch is a helper at work.
type launch struct {
	cmd      *exec.Cmd
	pipe     *os.File
	ended    <-chan error // receives one value, when the helper has ended
	exited   bool         // for release, once reading has ended
	readDone chan struct{}
}

// startHelper starts the helper, to start the browser at the link.
func startHelper(ctx context.Context, at string) (*launch, error) {
	if !helperCalled {
		return nil, errors.New("main does not call browser.Helper")
	}
	self, err := ownExecutable()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Close() }()
	// The end of ctx is not the browser's.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self)
	cmd.Args = []string{"cscs"}
	cmd.Env = append(os.Environ(), helperEnv+"="+at)
	cmd.Stdout = w
	cmd.SysProcAttr = detachedProcAttr()
	if err := cmd.Start(); err != nil {
		_ = r.Close()
		return nil, err
	}
	ended := make(chan error, 1)
	l := &launch{cmd: cmd, pipe: r, ended: ended, readDone: make(chan struct{})}
	go func() {
		defer close(l.readDone)
		said, err := io.ReadAll(r)
		l.exited = err == nil
		switch s := strings.TrimSpace(string(said)); {
		case err != nil: // release was quicker
		case s != "":
			ended <- errors.New(s)
		default:
			ended <- nil
		}
	}()
	return l, nil
}

// release lets go of the helper. It is not killed: it may be the browser by
// now.
func (l *launch) release() {
	_ = l.pipe.Close()
	<-l.readDone
	if l.exited {
		_ = l.cmd.Wait()
		return
	}
	_ = l.cmd.Process.Release()
}
