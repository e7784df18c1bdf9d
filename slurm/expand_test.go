package slurm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

// scratchProfile is a start-up file of a login shell, as a site has one, that sets SCRATCH to a directory
// of the user's. It prints something, too.
const scratchProfile = `echo "NOTICE: maintenance on Monday"
export SCRATCH="$HOME/scratch of alice" USER=alice TRAP='$(touch ~/trapped)${USER}' EMPTY=
`

// scratchCluster returns a cluster whose login shells have SCRATCH.
func scratchCluster(t *testing.T) (f *slurmtest.Cluster, scratch string) {
	t.Helper()
	f = slurmtest.New(t)
	scratch = filepath.Join(f.Home, "scratch of alice")
	if err := os.MkdirAll(filepath.Join(scratch, "v-alice", "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{filepath.Join(f.Home, ".bash_profile"): scratchProfile, filepath.Join(scratch, "v-alice", "bin", "activate"): "export VENV=$PWD\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f, scratch
}

// Variables of the login environment are replaced on the node, and text of the user's that only has a dollar
// sign somewhere stays as it is.
func TestVariables(t *testing.T) {
	t.Parallel()
	f, scratch := scratchCluster(t)
	id := testID(t)
	show := "import os,sys\nprint('|'.join([os.environ['PORT'],os.getcwd(),os.environ['VENV']]+[os.environ[k] for k in sorted(os.environ) if k.startswith('E_')]+sys.argv[1:]))"
	keep := []string{"echo $x", "$SCRATCH/x $y", "'$SCRATCH'", "a$SCRATCH", "$1", "$", "$x=5", "${x:-y}", "--o=a$USER", `\$USER`, "$SCRATCH;x", "--a b=$USER"}
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{
		Argv:    append([]string{"python3", "-c", show, "$SCRATCH/a", "${SCRATCH}", "--dir=$SCRATCH/$USER", "--logdir=" + "/runs/$USER x", "$TRAP/y", "--port=$PORT"}, keep...),
		Env:     map[string]string{"E_1": "$SCRATCH/hf", "E_2": "/cap/$USER/${USER}s", "E_3": "costs $USER", "E_4": "pa$USER", "E_5": `/a\$USER`, "E_6": "$USER"},
		Workdir: "$SCRATCH", Venv: "$HOME/scratch of alice/v-${USER}", Reads: []string{"/runs/$USER x"},
	}})
	r.wait()
	if r.err != nil {
		t.Fatal(r.err)
	}
	log, _ := stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: time.Second})
	_, shown, _ := strings.Cut(strings.TrimSpace(log), "\n") // the notice
	port, _, _ := strings.Cut(shown, "|")
	want := append([]string{port, scratch, scratch, scratch + "/hf", "/cap/alice/alices", "costs $USER", "pa$USER", "/a$USER", "alice",
		scratch + "/a", scratch, "--dir=" + scratch + "/alice", "--logdir=/runs/alice x", "$(touch ~/trapped)${USER}/y", "--port=" + port}, keep...)
	if diff := cmp.Diff(want, strings.Split(shown, "|")); diff != "" {
		t.Errorf("the server sees (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(f.Home, "trapped")); err == nil {
		t.Error("the value of a variable was run")
	}
}

// A variable that is not set there is named, with the option and the host, before a node is asked for.
func TestVariablesNotSet(t *testing.T) {
	t.Parallel()
	f, _ := scratchCluster(t)
	for name, c := range map[string]struct {
		launch Launch
		says   string
	}{
		"workdir":     {Launch{Workdir: "$SCRATHC/x"}, "the variable SCRATHC of --workdir is not set on "},
		"empty":       {Launch{Workdir: "$EMPTY/x"}, "the variable EMPTY of --workdir is not set on "},
		"venv":        {Launch{Venv: "~/${NOSUCH}v"}, "the variable NOSUCH of --venv is not set on "},
		"env":         {Launch{Env: map[string]string{"HF": "$NOSUCH"}}, "the variable NOSUCH of --env HF is not set on "},
		"environment": {Launch{Environment: "$NOSUCH/e.toml"}, "the variable NOSUCH of --environment is not set on "},
		"uenv":        {Launch{Step: []string{"--uenv=$NOSUCH/u.squashfs"}}, "the variable NOSUCH of --uenv is not set on "},
		"argument":    {Launch{Argv: []string{"true", "--dir=$NOSUCH"}}, "the variable NOSUCH of --dir is not set on "},
		"word":        {Launch{Argv: []string{"$NOSUCH/serve"}}, "the variable NOSUCH of the command is not set on "},
		"directory":   {Launch{Workdir: "$HOME/nosuch"}, "the work directory " + f.Home + "/nosuch does not exist on "},
	} {
		t.Run(name, func(t *testing.T) {
			if c.launch.Argv == nil {
				c.launch.Argv = serverArgv("127.0.0.1")
			}
			r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: c.launch})
			r.wait()
			var bad *ServerError
			if err := r.outcome.Err(); r.err != nil || !errors.As(err, &bad) || bad.Reason != "setup" || !strings.Contains(bad.Message, c.says) {
				t.Errorf("outcome %v, %v", err, r.err)
			}
			if f.Requested() {
				t.Error("a node was asked for")
			}
		})
	}
}

// In the step of a uenv or container, the variables are those of the login shell on the node, one that is not
// exported too. A start-up file may have functions and options that are in the way.
func TestVariablesOfAStep(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]Launch{
		"node":      {},
		"uenv":      {Step: []string{"--uenv=$SCRATCH/x"}},
		"container": {Environment: "$SCRATCH/my.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			f, scratch := scratchCluster(t)
			if err := os.WriteFile(filepath.Join(scratch, "my.toml"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			profile := scratchProfile + `MINE=$USER IFS=c
printf() { echo printf; }; return() { echo return; }; builtin() { echo builtin; }
set -eu; shopt -s nocasematch; trap 'exit 9' ERR
`
			if err := os.WriteFile(filepath.Join(f.Home, ".bash_profile"), []byte(profile), 0o600); err != nil {
				t.Fatal(err)
			}
			l := step
			l.Argv = []string{"sh", "-c", `/usr/bin/printf '<%s>' "$PWD" "$AT" "$1"; exit 7`, "x", "--dir=$SCRATCH/$MINE"}
			l.Workdir, l.Env = "$SCRATCH", map[string]string{"AT": "$MINE"}
			id := testID(t)
			r := submit(t.Context(), t, f, &Submission{ID: id, Launch: l})
			r.wait()
			if err := r.outcome.Err(); err == nil || !strings.Contains(err.Error(), "ended with status 7") {
				t.Errorf("outcome %v, %v", err, r.err)
			}
			want := "<" + scratch + "><alice><--dir=" + scratch + "/alice>"
			if log, _ := stopFake(t, f, Stopping{ID: id}); !strings.Contains(log, want) {
				t.Errorf("log %q, want one with %q", log, want)
			}
		})
	}
}

// What only a job has is for the node to say. So is everything if the login node's start-up files end the
// login shell.
func TestVariablesOfTheNode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ profile, dir, says string }{
		"of a job":          {scratchProfile, "$SLURM_NOSUCH/x", "the variable SLURM_NOSUCH of --workdir is not set on "},
		"by host":           {"[[ ! -v SLURM_JOB_ID ]] || export LOCAL=~\n[[ -v SLURM_JOB_ID ]] || exit 1\n", "$LOCAL/nosuch", "/nosuch does not exist on "},
		"not set on a node": {"[[ -v SLURM_JOB_ID ]] || export LOCAL=~\n", "$LOCAL", "the variable LOCAL of --workdir is not set on "},
	} {
		t.Run(name, func(t *testing.T) {
			f := slurmtest.New(t)
			if err := os.WriteFile(filepath.Join(f.Home, ".bash_profile"), []byte(c.profile), 0o600); err != nil {
				t.Fatal(err)
			}
			r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: serverArgv("127.0.0.1"), Workdir: c.dir}})
			r.wait()
			var bad *ServerError
			if err := r.outcome.Err(); !errors.As(err, &bad) || bad.Reason != "setup" || !strings.Contains(bad.Message, c.says) || !f.Requested() {
				t.Errorf("outcome %v, %v", err, r.err)
			}
		})
	}
}

// The same grammar, in the command line that --dry-run prints.
func TestVariablesInCommandLine(t *testing.T) {
	t.Parallel()
	l := Launch{
		Argv: []string{"serve", "$SCRATCH/a b", "--dir=$SCRATCH/$USER/x", "echo $x"}, Workdir: "~/a$USER b", Venv: "$SCRATCH/v",
		Env: map[string]string{"A": "$SCRATCH", "B": "pa$word"}, Step: []string{},
	}
	step := Launch{Argv: []string{"serve"}, Step: []string{"--uenv=$SCRATCH/u"}}
	if line := step.CommandLine(); !strings.Contains(line, ` --uenv="${SCRATCH}"/u sh -c serve`) {
		t.Error(line)
	}
	want := `cd ~/a"${USER}"' b' && . "${SCRATCH}"/v/bin/activate && export A="${SCRATCH}" B='pa$word' && serve '$SCRATCH/a b' --dir="${SCRATCH}"/"${USER}"/x 'echo $x'`
	if diff := cmp.Diff(want, l.CommandLine()); diff != "" {
		t.Error(diff)
	}
}
