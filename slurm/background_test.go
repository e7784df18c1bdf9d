package slurm

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A profile of the user's that starts processes in the background, as one that watches a quota or that
// starts an ssh-agent does. The one that begins with env has no environment, as one whose environment
// another process of the user's may not read (ssh-agent, prctl(2), PR_SET_DUMPABLE).
const backgroundProfile = "watch() { while sleep 3331; do :; done; }\nwatch &\ntrap '' TERM\nenv -i sleep 3332 &\ntrap - TERM\necho $! >>~/detached\n" +
	"(setsid sleep 3333 &)\n"

// leftOnLogin reports what the profile's processes have left on the login node.
func leftOnLogin(t *testing.T, f *slurmtest.Cluster) {
	t.Helper()
	if n := f.RunningOnLogin("sleep 333"); n > 0 {
		t.Errorf("%d processes of the profile are left on the login node", n)
	}
	for pid := range strings.Lines(readAll(t, filepath.Join(f.Home, "detached"))) {
		text, _ := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(pid), "cmdline"))
		if strings.Contains(string(text), "3332") {
			t.Errorf("process %s of the profile is left on the login node", strings.TrimSpace(pid))
			_ = exec.CommandContext(t.Context(), "kill", "-KILL", strings.TrimSpace(pid)).Run()
		}
	}
}

// TestBackgroundProfile: where a start-up file may end the login shell, that is tried on the login node. A
// process that it leaves in the background holds up neither a session nor an examination, and is ended.
func TestBackgroundProfile(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{"comes through": "[[ -t 1 ]] && exec zsh\n", "ends": "sleep 0.3\nexit 3\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t)
			putFiles(t, f.Home, map[string]string{".bash_profile": backgroundProfile + end})
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			e, err := Examine(ctx, f)
			if d := time.Since(began); err != nil {
				t.Fatalf("examine: %v after %v", err, d)
			}
			through := name == "comes through"
			if through != (e.Startup == nil) || !through && (e.Startup.Status != 3 || os.Geteuid() != 0 && e.Startup.Line == nil) {
				t.Errorf("the login shell: %v", e.Startup)
			}
			leftOnLogin(t, f)
		})
	}
	t.Run("session", func(t *testing.T) {
		t.Parallel()
		f := slurmtest.New(t, "FAKE_QUEUE=1")
		putFiles(t, f.Home, map[string]string{".bash_profile": backgroundProfile + "[[ -t 1 ]] && exec zsh\n"})
		id := testID(t)
		r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
		waittest.Receive(t, 30*time.Second, "an event", r.events)
		leftOnLogin(t, f)
		r.letGo()
		r.wait()
	})
	t.Run("EDF", func(t *testing.T) {
		t.Parallel()
		f := slurmtest.New(t, "FAKE_QUEUE=1")
		putFiles(t, f.Home, map[string]string{".bash_profile": backgroundProfile + "export EDF_PATH=~/edfs\n"})
		putFiles(t, filepath.Join(f.Home, "edfs"), map[string]string{"here.toml": ""})
		id := testID(t)
		r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Environment: "here", Argv: serverArgv("127.0.0.1")}})
		if n, ok := await[Event](r).(Note); ok {
			t.Errorf("the EDF is not found: %+v", n)
		}
		leftOnLogin(t, f)
		r.letGo()
		r.wait()
	})
}

// TestBackgroundMissing: a command that is not found is reported though a start-up file of an interactive
// shell leaves a process in the background.
func TestBackgroundMissing(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	putFiles(t, f.Home, map[string]string{".bash_profile": ". ~/.bashrc\n", ".bashrc": "[[ $- == *i* ]] || return\nsleep 3334 &\nno-such-command() { :; }\n"})
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: []string{"no-such-command"}, Grace: time.Second}})
	t.Cleanup(func() { f.Kill("sleep 3334") }) // otherwise a session that waits for it does not end
	waittest.Receive(t, 40*time.Second, "the report of the missing command", r.done)
	var server *ServerError
	if err := r.outcome.Err(); !errors.As(err, &server) || server.Reason != "setup" || !strings.Contains(server.Message, "interactive") {
		t.Errorf("ended with %v", err)
	}
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// TestEndBesideBackground: a server that ends before it listens is reported, also if it ends with status 0,
// as one does that goes into the background: a process that a start-up file has left is none of its.
func TestEndBesideBackground(t *testing.T) {
	f := slurmtest.New(t)
	putFiles(t, f.Home, map[string]string{".bash_profile": "watch() { while sleep 0.3; do :; done; }\nwatch &\n(setsid sleep 3335 &)\n"})
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: []string{"true"}, Grace: time.Second}})
	r.wait()
	if x := r.outcome.Exited; x == nil || x.Reason != "exit" || x.Code != 0 {
		t.Errorf("ended with %+v, %v", x, r.outcome.Err())
	}
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// TestEndMarkedAgain: a process that has got the number of one that was marked is left alone.
func TestEndMarkedAgain(t *testing.T) {
	text := script() + `
mark=424242
sleep 60 &
other=$!
(ulimit -S -q "$mark" && exec sleep 60) &
marked=$!
until [[ $(<"/proc/$marked/comm") == sleep ]]; do cscs_nap 0.02; done
cscs_find_marked() { pids=("$other" "$marked"); }
cscs_end_marked
for pid in "$other" "$marked"; do
	kill -0 "$pid" 2>/dev/null && echo lives || echo ended
done
kill -KILL "$other" "$marked" 2>/dev/null`
	out, err := bashCommand(t, text).Output()
	if got := strings.Fields(string(out)); err != nil && len(got) == 0 || strings.Join(got, " ") != "lives ended" {
		t.Errorf("the other %q, %v", got, err)
	}
}

// TestAskShellThatFloods: what a shell of the user's prints is read whole, and read by nothing else, though the time
// limit of a read ends amid it. bash keeps the rest of a read -N that has timed out for its next read, of whatever file.
func TestAskShellThatFloods(t *testing.T) {
	t.Parallel()
	text := script() + `
flood() { yes 10000n | head -c 700000; }
for ((i = 0; i < 3; i++)); do
	cscs_run_shell 300 flood
	code=$? length=${#REPLY}
	cscs_uptime
	[[ $REPLY == +([0-9]) ]] && echo "$code $length"
done`
	out, err := bashCommand(t, text).CombinedOutput()
	if want := strings.Repeat("0 700000\n", 3); err != nil || string(out) != want {
		t.Errorf("%v, %q", err, out)
	}
}
