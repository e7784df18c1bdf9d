package slurm

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

// commandNames are those of builtins and programs that the remote half, or what carries it, calls.
var commandNames = strings.Fields(`. : [ alias base64 bash bg break builtin cat cd chmod command compgen continue cp cut date declare df dirname
	echo enable env eval exec exit export false find getopts grep hash head hostname id jobs kill let ln local ls mapfile mkdir mktemp mv
	nohup popd printf ps pushd pwd read readarray readonly return rm rmdir sacctmgr salloc sbatch scancel scontrol sed seq set setsid shift
	shopt sinfo sleep sort source squeue srun ssh ssh-keygen ssh-keyscan sshd stat stdbuf tail tee test timeout touch tr trap true type
	typeset ulimit umask unalias unset wait wc which`)

// hijacking is the body of a function that records its call and fails. It calls no command. What the
// site's own /etc/profile calls is none of ours.
func hijacking(home, name string) string {
	return "() { [[ ${BASH_SOURCE[1]} == */etc/* ]] || [[ ] ]] >>" + home + "/hijacked." + strings.NewReplacer(".", "dot", ":", "colon", "[", "test").Replace(name) + "; ((0)); }"
}

// runCopyingEnviron runs a session whose server stores its environment, and returns that.
func runCopyingEnviron(t *testing.T, f *slurmtest.Cluster, via Via, l Launch) []string {
	t.Helper()
	file := filepath.Join(f.Home, "environ")
	l.Argv = []string{"/bin/cp", "/proc/self/environ", file}
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Request: Request{Via: via}, Launch: l})
	r.wait()
	if r.err != nil {
		t.Error(r.err)
	}
	if x := r.outcome.Exited; x != nil && x.Message != "" {
		t.Log(x.Message)
	}
	stopFake(t, f, Stopping{ID: id, Step: AnyStep})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// notHijacked reports the commands of the user's that were called.
func notHijacked(t *testing.T, f *slurmtest.Cluster) {
	t.Helper()
	called, _ := filepath.Glob(filepath.Join(f.Home, "hijacked.*"))
	for _, c := range called {
		t.Errorf("a function of the user's was called: %s", filepath.Base(c))
	}
}

// TestExportedFunctions: functions in the environment that have names of commands are not called,
// and reach the server.
func TestExportedFunctions(t *testing.T) {
	t.Parallel()
	for _, via := range []Via{ViaSalloc, ViaSbatch} {
		t.Run(string(via), func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t)
			for _, name := range commandNames {
				f.Setenv("BASH_FUNC_" + name + "%%=" + hijacking(f.Home, name))
			}
			got := runCopyingEnviron(t, f, via, Launch{Workdir: "~", Env: map[string]string{"A": "{port}"}})
			for _, name := range commandNames {
				if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "BASH_FUNC_"+name+"%%=") }) {
					t.Errorf("the server does not see the function %s", name)
				}
			}
			notHijacked(t, f)
		})
	}
}

// writeHome writes a file into the user's home.
func writeHome(t *testing.T, f *slurmtest.Cluster, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.Home, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDefinedFunctions: the same for functions and aliases that start-up files define, with options
// that change what a word means. A command of the user's finds them, and the server's environment has
// those that are exported.
func TestDefinedFunctions(t *testing.T) {
	t.Parallel()
	for _, options := range []string{
		"shopt -s expand_aliases",
		"set -eu; set -o noclobber; set -f; IFS=/; trap 'exit 9' ERR",
		"set -a; shopt -s expand_aliases failglob nocasematch; set -o posix",
		"POSIXLY_CORRECT=1; export POSIXLY_CORRECT TMOUT=1 GLOBIGNORE='*'; readonly TMOUT; shopt -s extdebug; trap : DEBUG",
	} {
		t.Run(options, func(t *testing.T) {
			f := slurmtest.New(t, "SHLVL=0")
			text := "theirs() { [[ ] ]] >>" + f.Home + "/theirs; }\n\\builtin export -f theirs\n\\builtin alias mine=theirs\n"
			names := slices.DeleteFunc(slices.Clone(commandNames), func(name string) bool {
				// POSIX mode allows no such functions; and the last of all is defined last.
				return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" || strings.Contains(" . : break builtin continue eval exec exit export readonly return set shift source times trap unset ", " "+name+" ")
			})
			for _, name := range names {
				text += "function " + name + " " + hijacking(f.Home, name) + "\n\\builtin export -f " + name + "\n"
			}
			for _, name := range append(names, "exec", "eval", "export", "unset", "set", "builtin") {
				text += "\\builtin alias " + name + "=cscs_hijacked_alias\n"
			}
			for option := range strings.SplitSeq(options, "; ") {
				if option[0] >= 'a' {
					option = "\\builtin " + option
				}
				text += option + "\n"
			}
			text += "function builtin " + hijacking(f.Home, "builtin") + "\n"
			writeHome(t, f, ".bashrc", text)
			writeHome(t, f, ".bash_profile", text)
			setup := "theirs"
			// With POSIXLY_CORRECT in its environment, a login shell reads no start-up files.
			if strings.Contains(options, "aliases") && !strings.Contains(options, "posix") {
				setup = "mine"
			}
			got := runCopyingEnviron(t, f, ViaSalloc, Launch{Setup: []string{setup}, Env: map[string]string{"A": "{port}"}})
			for _, name := range append(names, "theirs") {
				if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "BASH_FUNC_"+name+"%%=") }) {
					t.Errorf("the server does not see the function %s", name)
				}
			}
			for _, name := range []string{"POSIXLY_CORRECT=1", "TMOUT=1", "GLOBIGNORE=*"} {
				if strings.Contains(options, "POSIXLY_CORRECT") && !slices.Contains(got, name) {
					t.Errorf("the server does not see %s", name)
				}
			}
			for _, s := range got {
				if strings.HasPrefix(s, "cscs_") {
					t.Errorf("the server sees a variable of ours: %.80s", s)
				}
			}
			if _, err := os.Stat(filepath.Join(f.Home, "theirs")); err != nil {
				t.Errorf("--setup does not find what the user has defined: %v", err)
			}
			notHijacked(t, f)
		})
	}
}

// TestInnerShell: a shell that a start-up file starts is found before anything is asked for, with its line.
func TestInnerShell(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rc, shell, line string }{
		{"# bash\nexport A=1\nbash\n", "bash", "~/.bashrc line 3: bash"},
		{"[ -z \"$A\" ] || bash\nexport A=1\n[ -n \"$PS1\" ] || exec /bin/bash -i 2>/dev/null", "bash", "~/.bashrc line 3: [ -n \"$PS1\" ] || exec /bin/bash -i 2>/dev/null"},
		{"if [ -x /usr/bin/dash ]; then\n  exec dash\nfi\n", "dash", "~/.bashrc line 2: exec dash"},
		{"SHELL=/bin/sh\n(exec $SHELL -l)\n", "sh", "~/.bashrc line 2: (exec $SHELL -l)"},
		{"eval 'ba''sh'\n", "bash", ""},
	} {
		t.Run(c.rc, func(t *testing.T) {
			f := slurmtest.New(t, "SHLVL=0")
			writeHome(t, f, ".bashrc", c.rc)
			r := submit(t.Context(), t, f, &Submission{ID: testID(t), Lease: time.Minute, Launch: Launch{Argv: []string{"true"}}})
			r.wait()
			var remote *RemoteError
			if !errors.As(r.err, &remote) || remote.Kind != "inner" || !remote.BeforeRequest() {
				t.Fatalf("error %v", r.err)
			}
			if !strings.Contains(remote.Message, "("+c.shell+")") || (remote.Line == nil) != (c.line == "") || remote.Line != nil && remote.Line.String() != c.line {
				t.Errorf("%s; line %v", remote.Message, remote.Line)
			}
			if calls := f.Calls(); calls != "" {
				t.Errorf("calls of Slurm's commands: %s", calls)
			}
		})
	}
}

// TestStartupFileReads: a question of a start-up file gets an empty answer; one that reads all is reported.
func TestStartupFileReads(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "SHLVL=0")
	writeHome(t, f, ".bashrc", "read -p 'Which project? ' project; read -r -n 1 key; read -r more\n")
	if _, err := Examine(t.Context(), f); err != nil {
		t.Error(err)
	}
	writeHome(t, f, ".bashrc", "head -n 1 >/dev/null\n") // reads a block
	_, err := Examine(t.Context(), f)
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Kind != "input" {
		t.Errorf("error %v", err)
	}
}

// TestExportedVariables: variables of the user's that are called like the script's change nothing of what
// it does. Each would make it look for other jobs, in another directory, or send the script to sbatch.
func TestExportedVariables(t *testing.T) {
	t.Parallel()
	for _, via := range []Via{ViaSalloc, ViaSbatch} {
		t.Run(string(via), func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t)
			names := []string{"cscs_user", "cscs_dir", "cscs_job", "cscs_asking", "cscs_batched", "cscs_script", "script", "cscs_name", "cscs_step", "cscs_item"}
			for _, name := range names {
				f.Setenv(name + "=theirs")
			}
			got := runCopyingEnviron(t, f, via, Launch{Workdir: "~", Env: map[string]string{"A": "{port}"}})
			for _, v := range got {
				if len(v) > 50000 {
					t.Errorf("a variable of %d bytes reaches the server: %.40s", len(v), v)
				}
			}
			if found, _, err := List(t.Context(), f); err != nil || len(found) > 0 {
				t.Errorf("a session is left: %+v, %v", found, err)
			}
			if jobs := f.Jobs(); len(jobs) > 0 {
				t.Errorf("jobs are left: %q", jobs)
			}
			if calls := f.Calls(); strings.Contains(calls, "theirs") {
				t.Errorf("Slurm was asked for what is the user's:\n%s", calls)
			}
		})
	}
}

// TestAllExport: with set -a in a start-up file, the server sees none of our variables and functions.
func TestAllExport(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	writeHome(t, f, ".bash_profile", "set -a\nTHEIRS=1\n")
	got := runCopyingEnviron(t, f, ViaSalloc, Launch{Env: map[string]string{"A": "{port}"}})
	if !slices.Contains(got, "THEIRS=1") {
		t.Error("the server does not see a variable of the start-up file")
	}
	for _, s := range got {
		if strings.HasPrefix(s, "POSIXLY_CORRECT=") || strings.HasPrefix(s, "cscs_") || strings.HasPrefix(s, "BASH_FUNC_cscs_") {
			t.Errorf("the server sees %.80s", s)
		}
	}
}
