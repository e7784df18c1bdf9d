package slurm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// instead has a script of the test's stand before one of Slurm's commands; it goes on to that by $real.
func instead(t *testing.T, f *slurmtest.Cluster, command, script string) {
	t.Helper()
	bin, err := filepath.Abs("../internal/slurmtest/bin")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := "#!/bin/bash\nreal=" + filepath.Join(bin, command) + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, command), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	f.Setenv("PATH=" + dir + ":" + bin + ":" + os.Getenv("PATH"))
}

// srun fails after salloc's grant, and the client has gone: without a runner, the allocation ends.
func TestStepFailsWithoutClient(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_SRUN_FAILS=Job credential expired")
	ctx, gone := context.WithCancel(t.Context())
	s := &Submission{ID: testID(t), Lease: time.Minute, Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: []string{"true"}}}
	granted := false
	_, err := s.Submit(ctx, f, func(e Event) error {
		if _, ok := e.(Granted); ok {
			granted = true
			gone()
		}
		return nil
	})
	if !granted {
		t.Fatalf("not granted: %v", err)
	}
	waittest.Until(t, 20*time.Second, "the end of the job", func() bool { return len(f.Jobs()) == 0 })
}

// A home with a default ACL gives other users what is made there, whatever the umask.
func TestDefaultACL(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	// As by: setfacl -m u:65534:rx,d:u:65534:rwx HOME
	acl := exec.Command("python3", "-c", `
import os, struct, sys
none = 0xffffffff
for kind, given in ("access", 5), ("default", 7):
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in [(1, 7, none), (2, given, 65534), (4, 0, none), (16, given, none), (32, 0, none)])
    os.setxattr(sys.argv[1], "system.posix_acl_" + kind, acl)
`, f.Home)
	if out, err := acl.CombinedOutput(); err != nil {
		t.Fatalf("set the ACL: %v: %s", err, out)
	}
	for dir := filepath.Dir(f.Home); dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
				t.Fatal(err)
			}
		}
	}
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Env: map[string]string{"TOKEN": "s3cret"}}})
	await[Listening](r)
	dir := filepath.Join(f.Home, ".cscs", "fake", id)
	other := func(argv ...string) error {
		return exec.Command("setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups"}, argv...)...).Run()
	}
	if err := other("test", "-r", f.Home); err != nil {
		t.Fatalf("the other user does not even read the home: %v", err)
	}
	if err := other("grep", "-q", "s3cret", filepath.Join(dir, "remote.sh")); err == nil {
		t.Error("another user reads the session's secrets")
	}
	if err := other("mv", dir, dir+".moved"); err == nil {
		t.Error("another user can put a directory in the place of the session's")
		if err := os.Rename(dir+".moved", dir); err != nil {
			t.Fatal(err)
		}
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// A start-up file that BASH_ENV names changes how bash reads a script, and the umask.
func TestBashEnv(t *testing.T) {
	f := slurmtest.New(t)
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("set -eu -o noclobber\nshopt -s failglob nocasematch dotglob\nGLOBIGNORE='*'\numask 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Setenv("BASH_ENV=" + file)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Client: "me", Lease: 8 * time.Second, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	getOK(t, await[Listening](r).Addr)
	dir := filepath.Join(f.Home, ".cscs", "fake", id)
	for _, name := range []string{"remote.sh", "events", "lease", "environ", "runner"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// A stop that comes between the first word of submit and its request says that a job may follow, or
// is right that none does.
func TestStopBeforeRequest(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	// A stale session has submit ask squeue before it requests anything; that takes its time here.
	putSession(t, f, "abcdefgh", 48*time.Hour)
	slow := filepath.Join(t.TempDir(), "slow")
	instead(t, f, "squeue", `[[ $* != *'%N|%j'* ]] || { : >`+slow+`; until [[ -e `+slow+`.on ]]; do read -rt 0.05 <> <(:); done; }
exec "$real" "$@"`)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Lease: time.Minute, Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	waittest.Until(t, 20*time.Second, "the sweep", func() bool { _, err := os.Stat(slow); return err == nil })
	stopped := make(chan error, 1)
	go func() {
		_, err := Stop(t.Context(), f, Stopping{ID: id, Step: AnyStep})
		stopped <- err
	}()
	err := <-stopped
	if err := os.WriteFile(slow+".on", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		r.wait()
		if f.Called("salloc") {
			t.Errorf("a stop said that nothing runs any more, and then salloc was called; jobs %v", f.Jobs())
		}
		return
	}
	await[Listening](r)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// A stop that cannot know whether a request is on its way does not say that nothing runs.
func TestStopInDoubt(t *testing.T) {
	for what, doubt := range map[string]func(f *slurmtest.Cluster, dir string) error{
		"the home is away":         func(f *slurmtest.Cluster, _ string) error { f.Setenv("HOME=" + f.Home + "-away"); return nil },
		"the file asking is empty": func(_ *slurmtest.Cluster, dir string) error { return os.Truncate(filepath.Join(dir, "asking"), 0) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_PAUSE=before-sbatch")
			id := testID(t)
			s := &Submission{ID: id, Lease: time.Minute, Launch: Launch{Argv: serverArgv("127.0.0.1")}}
			r := submit(t.Context(), t, f, s)
			f.Paused()
			if err := doubt(f, filepath.Join(f.Home, ".cscs", "fake", id)); err != nil {
				t.Fatal(err)
			}
			if _, err := Stop(t.Context(), f, Stopping{ID: id}); err == nil {
				t.Error("a stop said that nothing runs, while sbatch was under way")
			}
			f.Setenv("HOME=" + f.Home)
			s.Withdraw()
			r.wait()
			stopFake(t, f, Stopping{ID: id})
		})
	}
}

// The user's own job that has the name of a session which has ended is not the session's.
func TestSweepSparesTheUsersJob(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	dir := putSession(t, f, "abcdefgh", 48*time.Hour)
	putFiles(t, dir, map[string]string{"runner": "4000\n", "log": "x\n",
		"events": "alive\tjob=4000\tstep=0\tnode=nid001001\tpid=1\nexited\treason=exit\tcode=0\tmessage=\n"})
	putJob(t, f, "cscs-abcdefgh")
	if _, swept, err := List(t.Context(), f); err != nil || len(swept) > 0 || len(f.Jobs()) != 1 {
		t.Errorf("swept %+v, %v; jobs %v", swept, err, f.Jobs())
	}
	// The same with no number recorded: that may be the session's.
	if err := os.Remove(filepath.Join(dir, "events")); err != nil {
		t.Fatal(err)
	}
	if _, swept, err := List(t.Context(), f); err != nil || len(swept) != 1 || len(f.Jobs()) != 0 {
		t.Errorf("swept %+v, %v; jobs %v", swept, err, f.Jobs())
	}
}

// The server has no signal ignored and no descriptor open that the user's shell would not have, the
// user's CDPATH, and a standard error that leads to the log.
func TestServerProcess(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "CDPATH=.:/opt")
	id := testID(t)
	look := `grep SigIgn /proc/self/status; echo "CDPATH=$CDPATH"; for i in {0..99}; do [ ! -e /proc/$$/fd/$i ] || printf '%d ' $i; done; echo; echo words >&2; exec "$@"`
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: append([]string{"bash", "-c", look, "look"}, serverArgv("127.0.0.1")...), Grace: time.Second}})
	await[Listening](r)
	r.letGo()
	r.wait()
	log, _ := stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
	if want := "SigIgn:\t0000000000000000\nCDPATH=.:/opt\n0 1 2 \nwords\n"; !strings.HasPrefix(log, want) {
		t.Errorf("the log begins\n%s\nwant\n%s", log, want)
	}
}

// Without the cluster's name, no other directory is taken for the session's, and a stop claims nothing.
func TestClusterNameUnknown(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
	await[Listening](r)
	silent := filepath.Join(t.TempDir(), "silent")
	if err := os.WriteFile(silent, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	instead(t, f, "scontrol", `[[ $* != 'show config' || ! -e `+silent+` ]] || exit 1
exec "$real" "$@"`)
	if _, err := Stop(t.Context(), f, Stopping{ID: id, Step: AnyStep, Grace: time.Second}); err == nil || len(f.Jobs()) != 1 {
		t.Errorf("a stop without the cluster's name: %v; jobs %v", err, f.Jobs())
	}
	next := submit(t.Context(), t, f, &Submission{ID: "zzzzzzzz", Launch: Launch{Argv: []string{"true"}}})
	next.wait()
	if next.err == nil || len(f.Jobs()) != 1 {
		t.Errorf("a submission without the cluster's name: %v; jobs %v", next.err, f.Jobs())
	}
	if err := os.Remove(silent); err != nil {
		t.Fatal(err)
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// A home directory of any name.
func TestOddHomes(t *testing.T) {
	for _, name := range []string{"a b'c%j\"d", "x\\y$HOME`id`*?[z]", "-rf", "ünï"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t)
			home := filepath.Join(f.Home, name)
			putFiles(t, home, map[string]string{"keep": "x"})
			f.Home = home
			f.Setenv("HOME=" + home)
			for _, via := range []Via{ViaSbatch, ViaSalloc} {
				id := testID(t)[:7] + string(via[1])
				r := submit(t.Context(), t, f, &Submission{ID: id, Lease: time.Minute, Request: Request{Via: via}, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
				getOK(t, await[Listening](r).Addr)
				r.letGo()
				r.wait()
				stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
			}
			if text := readAll(t, filepath.Join(home, "keep")); text != "x" {
				t.Errorf("the user's file holds %q", text)
			}
		})
	}
}
