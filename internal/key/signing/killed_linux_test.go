package signing

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/alps-tunnel/cscs/internal/key"
)

// The environment of the child process of TestKilled.
const (
	killDir     = "CSCS_TEST_KILL_DIR"
	killStep    = "CSCS_TEST_KILL_STEP"
	killNoLinks = "CSCS_TEST_KILL_NO_LINKS"
)

// TestKilled: wherever in its commit a process is killed, the next command leaves a whole pair of
// key and certificate, the old or the new one, and nothing beside it. The same holds on a file
// system without hard links.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(killDir); dir != "" {
		replaceAndDie(t, dir)
		return
	}
	for _, noLinks := range []string{"", "1"} {
		old, replaced := 0, 0
		for step := 1; ; step++ {
			killed, isNew := killAt(t, step, noLinks)
			if isNew {
				replaced++
			} else {
				old++
			}
			if !killed {
				break
			}
		}
		if old < 4 || replaced < 2 {
			t.Errorf("no links %q: killed with the old pair left %d times, with the new one %d times", noLinks, old, replaced)
		}
	}
}

// killAt kills a child at a step, and reports whether the child came that far, and whether the new
// pair is in place after the next command.
func killAt(t *testing.T, step int, noLinks string) (killed, isNew bool) {
	t.Helper()
	dir := t.TempDir()
	a := newAuthority(t)
	r := Request{Service: a, Path: filepath.Join(dir, "home", "cscs-key"), State: filepath.Join(dir, "state")}
	first, err := Sign(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "Downloads"), 0o700); err != nil {
		t.Fatal(err)
	}
	savePair(t, a, filepath.Join(dir, "Downloads"))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), killDir+"="+dir, killStep+"="+strconv.Itoa(step), killNoLinks+"="+noLinks,
		"TMPDIR="+t.TempDir()) // of the child's own t.TempDir, which it cannot remove
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled()
	}
	if err != nil && !killed {
		t.Fatalf("step %d: %v\n%s", step, err, out)
	}
	a.err = errors.New("no")
	if _, err := Sign(t.Context(), r); !errors.Is(err, a.err) {
		t.Errorf("step %d: %v", step, err)
	}
	s := key.Inspect(r.Path, time.Now(), nil)
	if s.Problem != nil || s.Cert == nil {
		t.Fatalf("step %d, no links %q: %v; there is %v", step, noLinks, s.Problem, tree(t, filepath.Dir(r.Path)))
	}
	if got := tree(t, filepath.Dir(r.Path)); len(got) != len(parts) {
		t.Errorf("step %d, no links %q: %v", step, noLinks, got)
	}
	text, err := os.ReadFile(r.Path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if pub, _, _, _, err := ssh.ParseAuthorizedKey(text); err != nil || !bytes.Equal(pub.Marshal(), s.Public.Marshal()) {
		t.Errorf("step %d: the .pub file is of another key: %v", step, err)
	}
	return killed, !bytes.Equal(s.Cert.Marshal(), first.Cert.Marshal())
}

// replaceAndDie imports a pair and kills its process at a step.
func replaceAndDie(t *testing.T, dir string) {
	if os.Getenv(killNoLinks) != "" {
		refuseLinks(t)
	}
	last, err := strconv.Atoi(os.Getenv(killStep))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Find(filepath.Join(dir, "Downloads"), "")
	if err != nil {
		t.Fatal(err)
	}
	step := 0
	afterStep = func() {
		if step++; step == last {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	r := Request{Path: filepath.Join(dir, "home", "cscs-key"), State: filepath.Join(dir, "state")}
	if _, err := Import(t.Context(), r, p); err != nil {
		t.Fatal(err)
	}
}

// TestGoesBackNoLinks: on a file system without hard links, too, the old key is there after a commit
// that fails.
func TestGoesBackNoLinks(t *testing.T) {
	if os.Getenv(killNoLinks) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestGoesBackNoLinks$")
		cmd.Env = append(os.Environ(), killNoLinks+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	refuseLinks(t)
	TestCommitGoesBack(t)
}

// refuseLinks has the kernel refuse this process hard links, as of a file system without them.
func refuseLinks(t *testing.T) {
	t.Helper()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_LINKAT, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(syscall.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		t.Fatalf("seccomp: %v", errno)
	}
	if err := os.Link(os.Args[0], filepath.Join(t.TempDir(), "link")); !errors.Is(err, syscall.EPERM) {
		t.Fatalf("a hard link: %v", err)
	}
}
