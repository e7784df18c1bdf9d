package slurm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// The conditions of public bug reports (docs/reliability.md, Public bug reports tried).

// wrapCommand puts a site's own command in front of one of Slurm's: $real is Slurm's.
func wrapCommand(t *testing.T, f *slurmtest.Cluster, name, body string) {
	t.Helper()
	real, err := filepath.Abs(filepath.Join("..", "internal", "slurmtest", "bin"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := fmt.Sprintf("#!/bin/bash -p\nreal=%s/%s\n%s\n", real, name, body)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	f.Setenv("PATH=" + dir + ":" + real + ":" + os.Getenv("PATH"))
}

// refuseTemporaryFiles has no temporary file made on the cluster, as where /tmp is full, and has bash
// make one for each here-document, as bash does up to 5.0.
func refuseTemporaryFiles(t *testing.T, f *slurmtest.Cluster) {
	t.Helper()
	dir := t.TempDir()
	holder := exec.CommandContext(t.Context(), "cat") // its working directory stays when it is removed
	holder.Dir = filepath.Join(dir, "removed")
	if err := os.Mkdir(holder.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	end, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end.Close(); _ = holder.Wait() })
	if err := os.Remove(holder.Dir); err != nil {
		t.Fatal(err)
	}
	tmp := fmt.Sprintf("TMPDIR=/proc/%d/cwd", holder.Process.Pid)
	f.Setenv(tmp)
	f.Setenv("BASH_COMPAT=50")
	probe := exec.CommandContext(t.Context(), "bash", "-c", "read -r <<<x")
	probe.Env = append(os.Environ(), tmp, "BASH_COMPAT=50")
	if err := probe.Run(); err == nil {
		t.Fatal("bash makes a here-document without a temporary file: the test shows nothing")
	}
}

// TestNoTemporaryFiles: a full /tmp changes nothing. An answer of Slurm's that cannot be read would
// look as if there were no job.
func TestNoTemporaryFiles(t *testing.T) {
	t.Parallel()
	for _, via := range []Via{ViaSalloc, ViaSbatch} {
		t.Run(string(via), func(t *testing.T) {
			f := slurmtest.New(t)
			refuseTemporaryFiles(t, f)
			id := testID(t)
			s := &Submission{ID: id, Request: Request{Via: via}, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}}
			r := submit(t.Context(), t, f, s)
			getOK(t, await[Listening](r).Addr)
			found, _, err := List(t.Context(), f)
			if err != nil || len(found) != 1 || found[0].ID != id {
				t.Errorf("the list is %+v, %v", found, err)
			}
			r.letGo()
			r.wait()
			// Without a step there is nothing but the queue by which the job can be found.
			stopFake(t, f, Stopping{ID: id})
		})
	}
}

// TestNoHereDocuments: bash up to 5.0 makes a temporary file of each (bash's redir.c).
func TestNoHereDocuments(t *testing.T) {
	t.Parallel()
	here := regexp.MustCompile(`(^|[^<(0-9 ] ?)<<[<-]?[^=(]`)
	for line := range strings.Lines(script()) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		if here.MatchString(line) {
			t.Errorf("the remote part has a here-document: %s", strings.TrimSpace(line))
		}
	}
}

// TestSbatchWrappers: a site's own sbatch prints more than the number, or the number in another form.
func TestSbatchWrappers(t *testing.T) {
	t.Parallel()
	banner := `echo "-----"; echo "   Welcome to the Stampede3 Supercomputer"; echo "-----"; echo; echo "--> Verifying valid submit host (login4)...OK"` + "\n"
	for name, body := range map[string]string{
		"banner before the number":   banner + `exec "$real" "$@"`,
		"banner after the number":    `"$real" "$@" || exit; echo; echo "Your project has 4200 node-hours left"`,
		"with a cluster":             `echo "$("$real" "$@");nautilus"`,
		"in words":                   banner + `echo "Submitted batch job $("$real" "$@")"`,
		"in words, with a cluster":   `echo "Submitted batch job $("$real" "$@") on cluster nautilus"`,
		"with words of another kind": `echo "Job <$("$real" "$@")> is submitted to queue <normal>"`,
		"without a number":           `"$real" "$@" >/dev/null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t)
			wrapCommand(t, f, "sbatch", body)
			id := testID(t)
			r := submit(t.Context(), t, f, &Submission{ID: id, Request: Request{Via: ViaSbatch}, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
			if p := await[Pending](r); p.Job != "4711" {
				t.Errorf("pending: %+v", p)
			}
			getOK(t, await[Listening](r).Addr)
			r.letGo()
			r.wait()
			stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: time.Second})
		})
	}
}

// TestSqueueOfAWhileAgo: a site's squeue answers from a list that it has stored before the job was there.
// That is no end of the job.
func TestSqueueOfAWhileAgo(t *testing.T) {
	t.Parallel()
	for _, queued := range []bool{false, true} {
		t.Run(fmt.Sprintf("queued=%t", queued), func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t)
			wrapCommand(t, f, "squeue", `[[ "$*" != --version ]] || exec "$real" "$@"`)
			if queued {
				f.Setenv("FAKE_QUEUE=1")
			}
			id := testID(t)
			r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
			if queued {
				await[Queued](r)
			} else {
				getOK(t, await[Listening](r).Addr)
			}
			r.letGo()
			r.wait()
			// Of a job in the queue another laptop knows the ID alone.
			stopFake(t, f, Stopping{ID: id, Step: AnyStep})
		})
	}
}

// TestSqueueOfAWhileAgoBusy: and the first scancel fails, as with a controller that is busy.
func TestSqueueOfAWhileAgoBusy(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	wrapCommand(t, f, "squeue", `[[ "$*" != --version ]] || exec "$real" "$@"`)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: []string{"true"}}})
	await[Queued](r)
	f.Busy(true)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		waittest.Until(t, 20*time.Second, "another try", func() bool { return strings.Count(f.Calls(), "scancel ") > 1 })
		f.Busy(false)
	})
	r.letGo()
	r.wait()
	waiting.Wait()
	stopFake(t, f, Stopping{ID: id})
}

// TestSqueueOfAWhileAgoShows: such a squeue goes on showing a job that has ended, which then is not said to
// be left.
func TestSqueueOfAWhileAgoShows(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	wrapCommand(t, f, "squeue", `c=$FAKE/stored.${*//[!a-zA-Z]/}; [[ -s $c ]] || "$real" "$@" >"$c"; cat "$c"`)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
	getOK(t, await[Listening](r).Addr)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id})
}

// TestSlurmOfTheLoginShell: Slurm's commands are where only the user's own start-up file of a login
// shell puts them, as by module load slurm.
func TestSlurmOfTheLoginShell(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	real, err := filepath.Abs(filepath.Join("..", "internal", "slurmtest", "bin"))
	if err != nil {
		t.Fatal(err)
	}
	f.Setenv("PATH=" + os.Getenv("PATH"))
	writeHome(t, f, ".bash_profile", "echo welcome\nexport PATH="+real+":$PATH SLURM_CONF=/opt/slurm.conf\ncd /\n")
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
	getOK(t, await[Listening](r).Addr)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// TestEntranceOfADomain: the name of a user such as alice@example.org means another one in sshd_config(5)
// (AllowUsers). The node's sshd is OpenSSH's, which knows this test's user only: the @ stands for one character of
// that name.
func TestEntranceOfADomain(t *testing.T) {
	t.Parallel()
	_, me := sshtest.NeedSSHD(t)
	f := slurmtest.New(t)
	wrapCommand(t, f, "id", `[[ "$*" == -un ]] || exec /usr/bin/id "$@"; echo '`+me[:1]+"@"+me[2:]+`'`)
	d := newDoorway(t, f)
	client, err := d.client(d.user)
	if err != nil {
		t.Fatal(err)
	}
	_ = client.Close()
	d.run.letGo()
}

// TestStopForgotten: Slurm has forgotten a job that ended a while ago (slurm.conf(5), MinJobAge), and answers with
// an error. There is nothing to stop.
func TestStopForgotten(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	wrapCommand(t, f, "scontrol", `if [[ "$*" == *"show job "* && ! -d $FAKE/jobs/${!#} ]]; then
	echo "slurm_load_jobs error: Invalid job id specified" >&2
	exit 1
fi
exec "$real" "$@"`)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: []string{"true"}, Grace: time.Second}})
	await[Alive](r)
	r.wait()
	waittest.Until(t, 20*time.Second, "the job's end", func() bool { return len(f.Jobs()) == 0 })
	stopFake(t, f, Stopping{ID: id, Job: "4711"})
}

// TestDirectoriesOfTheLogin: a login has directories and sockets of its own (pam_systemd(8)), which the node does
// not have: Jupyter failed to make its files in one.
func TestDirectoriesOfTheLogin(t *testing.T) {
	t.Parallel()
	for _, via := range []Via{ViaSalloc, ViaSbatch} {
		f := slurmtest.New(t, "XDG_RUNTIME_DIR=/run/user/4242", "XDG_SESSION_ID=7", "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/4242/bus", "XDG_DATA_HOME=/scratch/data")
		got := runCopyingEnviron(t, f, via, Launch{})
		if !slices.Contains(got, "XDG_DATA_HOME=/scratch/data") || slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, "4242") || strings.HasPrefix(v, "XDG_SESSION_ID=") }) {
			t.Errorf("%s: the server sees %q", via, got)
		}
	}
}
