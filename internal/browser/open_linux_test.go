package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
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
	if err := Open(t.Context(), link); err != nil {
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
	if a.Location != link || a.Status != http.StatusSeeOther {
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
	if err := Open(t.Context(), link); err != nil {
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
		peer         peerFunc
		want         error
	}{
		{"xdg-open fails", "exit 3", peerUID, &LaunchError{Err: errors.New("exit status 3")}},
		{"nobody comes", "exit 0", peerUID, &UnusedError{After: Lifetime}},
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
			err := o.open(t.Context(), link)
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
	go func() { opened <- Open(ctx, link) }()
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
	fakeXDGOpen(t, "exit 0")
	for _, s := range []string{"", "file:///etc/passwd", "javascript:alert(1)", "http:", "://" + secret} {
		if err := Open(t.Context(), s); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("Open(%q): %v", s, err)
		}
	}
}

func TestOpenWithoutDisplay(t *testing.T) {
	for _, name := range []string{"DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "WSL_INTEROP", "BROWSER"} {
		t.Setenv(name, "")
	}
	if err := Open(t.Context(), link); !errors.Is(err, ErrNoBrowser) {
		t.Errorf("Open: %v, want %v", err, ErrNoBrowser)
	}
}

// The kernel's own word on who asks, which no test double can give.
func TestAnotherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test must run as root, as scripts/test does: it needs a process of another user")
	}
	const nobody = 65534
	o := serveOffer(t, peerUID)
	ask := func(uid uint32) answer {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), fetchEnv+"="+o.url())
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, &stderr)
		}
		var a answer
		if err := json.Unmarshal(out, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask(nobody); a.Status != http.StatusNotFound || a.Location != "" {
		t.Errorf("another user got %+v", a)
	}
	if got, want := o.refusal(), "a process of user nobody"; got != want {
		t.Errorf("refused %q, want %q", got, want)
	}
	if a := ask(0); a.Location != link {
		t.Errorf("this user got %+v", a)
	}
}

// The socket of an IPv6 family that speaks IPv4 is in another table.
func TestPeerUID(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		to := netip.MustParseAddrPort(ln.Addr().String())
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		from := netip.MustParseAddrPort(c.LocalAddr().String())
		if uid, err := peerUID(from, to); err != nil || uid != os.Getuid() {
			t.Errorf("%v: user %d, %v", from, uid, err)
		}
		c.Close()
		// Closed by its process, the socket may be in the table still.
		if uid, err := peerUID(from, to); err == nil {
			t.Errorf("%v when closed: user %d", from, uid)
		}
	}
}

func TestCanOpen(t *testing.T) {
	for _, tt := range []struct {
		env, programs string
		want          bool
	}{
		{"", "xdg-open", false},
		{"DISPLAY=:0", "xdg-open", true},
		{"WAYLAND_DISPLAY=wayland-0", "xdg-open", true},
		{"WSL_DISTRO_NAME=Debian", "xdg-open", true},
		{"BROWSER=firefox", "xdg-open", true},
		{"BROWSER=/opt/code/bin/helper.sh --open", "xdg-open", true},
		{"BROWSER=w3m", "xdg-open", false},
		{"BROWSER=/usr/bin/lynx:firefox", "xdg-open", false},
		{"BROWSER=w3m DISPLAY=:0", "xdg-open", true},
		{"DISPLAY=:0", "x-www-browser", true},
		{"DISPLAY=:0", "www-browser", false},
		{"DISPLAY=:0", "", false},
		{"SSH_CONNECTION=1", "xdg-open", false},
		{"SSH_CONNECTION=1 DISPLAY=localhost:10.0", "xdg-open", true},
	} {
		t.Run(tt.env+" "+tt.programs, func(t *testing.T) {
			getenv := func(name string) string {
				_, after, _ := strings.Cut(" "+tt.env, " "+name+"=")
				value, _, _ := strings.Cut(after, " ")
				return value
			}
			lookPath := func(name string) (string, error) {
				if name == tt.programs {
					return name, nil
				}
				return "", exec.ErrNotFound
			}
			if got := canOpen(getenv, lookPath); got != tt.want {
				t.Errorf("canOpen = %v", got)
			}
		})
	}
}

// Where the kernel does not vouch for anyone, a file does what the server does
// here. That needs no other system to be tried.
func TestOpenFile(t *testing.T) {
	called := fakeXDGOpen(t, `f=${1#file://}; IFS= read -r x <"$f" || exit 4; /bin/cp -p "$f" copy; /bin/ls -ld "$f" "${f%/*}" >modes; /bin/mv modes done`)
	t.Setenv("TMPDIR", t.TempDir())
	o := newOpener()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opened := make(chan error, 1)
	go func() { opened <- o.openFile(ctx, link) }()
	awaitFile(t, "done")
	cancel()
	if err := <-opened; !errors.Is(err, context.Canceled) {
		t.Errorf("openFile: %v", err)
	}
	if argv := called(); strings.Contains(argv, secret) {
		t.Errorf("xdg-open was called with %q", argv)
	}
	b, err := os.ReadFile("copy")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), link); n != 2 {
		t.Errorf("the link is %d times in %s", n, b)
	}
	modes, err := os.ReadFile("done")
	if err != nil {
		t.Fatal(err)
	}
	if s := string(modes); !strings.HasPrefix(s, "drwx------ ") || !strings.Contains(s, "\n-rw------- ") {
		t.Errorf("modes: %s", s)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q %v", left, err)
	}
}
