package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// fakeXDGOpen puts an xdg-open on the PATH, alone, that writes down what it is
// called with and then does what script says; $1 is the link, and "$fetch $1"
// prints the answer to it.
func fakeXDGOpen(t *testing.T, script string) (called func() string) {
	t.Helper()
	leak := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leak) })
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' \"$@\" >%[1]s/argv.new\n/bin/mv %[1]s/argv.new %[1]s/argv\n"+
		"fetch() { %[2]s=$1 %[3]s; }\ncd %[1]s\n%[4]s\n", dir, fetchEnv, exe, script)
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv("DISPLAY", ":0")
	t.Chdir(dir)
	return func() string {
		b, err := os.ReadFile(filepath.Join(dir, "argv"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(string(b), "\n")
	}
}

// awaitFile returns what is in a file that appears at once, by a rename.
func awaitFile(t *testing.T, name string) []byte {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if b, err := os.ReadFile(name); err == nil {
			return b
		}
	}
	t.Fatalf("%s does not appear within %v", name, patience)
	return nil
}

func TestOpen(t *testing.T) {
	called := fakeXDGOpen(t, `fetch "$1" >answer.new && /bin/mv answer.new answer`)
	if err := Open(t.Context(), way); err != nil {
		t.Fatal(err)
	}
	argv := called()
	if strings.Contains(argv, secret) || !strings.HasPrefix(argv, "http://127.0.0.1:") || strings.Contains(argv, "\n") {
		t.Errorf("xdg-open was called with %q", argv)
	}
	var a answer
	if err := json.Unmarshal(awaitFile(t, "answer"), &a); err != nil {
		t.Fatal(err)
	}
	if a.Location != target || a.Status != http.StatusSeeOther {
		t.Errorf("the browser got %+v", a)
	}
	// The server has gone with the link.
	if _, err := fetch(http.MethodGet, argv, nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a second browser: %v, want a connection refused", err)
	}
}

// xdg-open may become the browser, and stay for hours.
func TestOpenDoesNotWaitForBrowser(t *testing.T) {
	fakeXDGOpen(t, `echo $$ >pid; fetch "$1" >/dev/null; exec /bin/sleep 1000`)
	if err := Open(t.Context(), way); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("pid")
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(b), &pid); err != nil {
		t.Fatal(err)
	}
	// It lives on, out of reach of our terminal.
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the browser was ended: %v", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	var ppid, pgrp, session int
	_, after, _ := strings.Cut(string(stat), ") ")
	var state string
	if _, err := fmt.Sscan(after, &state, &ppid, &pgrp, &session); err != nil {
		t.Fatal(err)
	}
	if pgrp == syscall.Getpgrp() || session == pgrp && pgrp == pid {
		t.Errorf("the browser is in process group %d of session %d", pgrp, session)
	}
	if err := syscall.Kill(-pgrp, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(ppid, &status, 0, nil); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		peer         peer.Func
		want         error
	}{
		{"xdg-open fails", "exit 3", peer.UID, &LaunchError{Err: errors.New("exit status 3")}},
		{"nobody comes", "exit 0", peer.UID, &UnusedError{After: Lifetime}},
		{
			"another user comes", `fetch "$1"`,
			func(_, _ netip.AddrPort) (int, error) { return 54321, nil },
			&UnusedError{After: Lifetime, Refused: "a process of user 54321"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fakeXDGOpen(t, tt.script)
			o := newOpener()
			o.peer = tt.peer
			// Time is over when xdg-open has ended.
			expired := make(chan time.Time, 1)
			o.after = func(time.Duration) <-chan time.Time { return expired }
			o.start = func(ctx context.Context, at string) (*launch, error) {
				l, err := startHelper(ctx, at)
				if err != nil {
					return nil, err
				}
				real, ended := l.ended, make(chan error, 1)
				l.ended = ended
				go func() {
					err := <-real
					ended <- err
					if err == nil {
						expired <- time.Time{}
					}
				}()
				return l, nil
			}
			err := o.open(t.Context(), way)
			byMessage := cmp.Comparer(func(a, b error) bool { return fmt.Sprintf("%T %v", a, a) == fmt.Sprintf("%T %v", b, b) })
			if diff := cmp.Diff(tt.want, err, byMessage); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOpenEndsWithContext(t *testing.T) {
	fakeXDGOpen(t, `echo $$ >pid.new; /bin/mv pid.new pid; exec /bin/sleep 1000`)
	cause := errors.New("the session ended")
	ctx, cancel := context.WithCancelCause(t.Context())
	opened := make(chan error, 1)
	go func() { opened <- Open(ctx, way) }()
	var pid int
	if _, err := fmt.Sscan(string(awaitFile(t, "pid")), &pid); err != nil {
		t.Fatal(err)
	}
	cancel(cause)
	if err := <-opened; !errors.Is(err, cause) {
		t.Errorf("Open: %v, want %v", err, cause)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestOpenRefusesOtherLinks(t *testing.T) {
	fakeXDGOpen(t, `fetch "$1" >answer`)
	for _, s := range []string{"", "file:///etc/passwd", "javascript:alert(1)", "http:", "://" + secret} {
		var unused *UnusedError
		if err := Open(t.Context(), To(s)); err == nil || errors.As(err, &unused) || strings.Contains(err.Error(), secret) {
			t.Errorf("Open(%q): %v", s, err)
		}
		if b, err := os.ReadFile("argv"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q): xdg-open was called with %q, %v", s, b, err)
		}
	}
}
