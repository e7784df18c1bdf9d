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

	"github.com/alps-tunnel/cscs/internal/spawn"
)

// helperEnv passes the link to the helper. The link works once, or it is a file's name, so it may be visible.
const helperEnv = "CSCS_BROWSER_HELPER"

// Helper must be the first call of main, which must return if Helper returns true. Then this process is
// a child of [Open] that has started the browser.
//
// A process is needed, not a goroutine, for two reasons. The program that starts the browser (xdg-open)
// may become the browser, so that a wait lasts until the user closes it. And the browser needs a
// session of its own.
func Helper() bool {
	at, ok := os.LookupEnv(helperEnv)
	if !ok {
		helperCalled = true
		return false
	}
	_ = os.Unsetenv(helperEnv)
	// Stdout is the pipe to the parent. A process that inherits it would keep it open.
	browser.Stdout, browser.Stderr = nil, nil
	if err := browser.OpenURL(at); err != nil {
		fmt.Fprint(os.Stdout, err) //nolint:forbidigo // it is a pipe to the parent
	}
	return true
}

// helperCalled reports that main has called Helper. Otherwise the child would be another cscs, without arguments.
var helperCalled bool

// A launch is a running helper.
type launch struct {
	cmd      *exec.Cmd
	pipe     *os.File
	ended    <-chan error // receives one value when the helper has ended
	exited   bool         // for release, after readDone
	readDone chan struct{}
}

// startHelper starts the helper, which opens the browser at the link.
func startHelper(ctx context.Context, at string) (*launch, error) {
	if !helperCalled {
		return nil, errors.New("main does not call browser.Helper")
	}
	self, err := spawn.Executable()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.Close() }()
	// The browser outlives ctx.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self)
	cmd.Args = []string{"cscs"}
	cmd.Env = append(os.Environ(), helperEnv+"="+at)
	cmd.Stdout = w
	cmd.SysProcAttr = spawn.Detached()
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
		case err != nil: // release closed the pipe first
		case s != "":
			ended <- errors.New(s)
		default:
			ended <- nil
		}
	}()
	return l, nil
}

// release stops waiting for the helper. It does not kill the helper, which may have become the browser.
func (l *launch) release() {
	_ = l.pipe.Close()
	<-l.readDone
	if l.exited {
		_ = l.cmd.Wait()
		return
	}
	_ = l.cmd.Process.Release()
}
