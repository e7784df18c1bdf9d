package slurm

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

// TestStepServer: in a uenv and in a container the server gets its words, its variables and its setup as they
// were given, and what fails is reported as on the bare node.
func TestStepServer(t *testing.T) {
	words := []string{"it's", "a$HOME", "a\nb", `\`, "*"}
	show := append([]string{"sh", "-c", `printf '<%s>' "$@" "$MINE" "$SET" "$PWD"; exit 7`, "x"}, words...)
	shown := "<it's><a$HOME><a\nb><\\><*><it's {\"$x\"}><yes>"
	for name, step := range map[string]Launch{
		"uenv":      {Step: []string{"--uenv=x"}},
		"container": {Environment: "~/my \"own\".toml"},
	} {
		for what, c := range map[string]struct {
			with    func(*Launch)
			want    string // in the error; PLACE is where it runs
			wantLog string
		}{
			"words":       {func(l *Launch) { l.Setup = []string{"SET='yes'; export SET"}; l.Workdir = "/usr" }, "ended with status 7", shown + "</usr>"},
			"no-command":  {func(l *Launch) { l.Argv = []string{"no-such-command"} }, "no-such-command was not found in the PLACE on ", ""},
			"no-program":  {func(l *Launch) { l.Argv = []string{"/etc/passwd"} }, "/etc/passwd was not found", ""},
			"no-workdir":  {func(l *Launch) { l.Workdir = "/tmp/no such" }, "the work directory /tmp/no such does not exist", ""},
			"no-venv":     {func(l *Launch) { l.Venv = "/tmp/no-such" }, "no virtual environment in /tmp/no-such", ""},
			"setup":       {func(l *Launch) { l.Setup = []string{"false"} }, `--setup "false" ended with status 1`, ""},
			"setup-there": {func(l *Launch) { l.Setup = []string{"no-such x"} }, `no-such of --setup "no-such x" was not found`, ""},
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				f := slurmtest.New(t)
				if err := os.WriteFile(filepath.Join(f.Home, `my "own".toml`), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				l := step
				l.Argv, l.Env = show, map[string]string{"MINE": `it's {"$x"}`}
				c.with(&l)
				id := testID(t)
				r := submit(t.Context(), t, f, &Submission{ID: id, Launch: l})
				r.wait()
				want := strings.ReplaceAll(c.want, "PLACE", name)
				if err := r.outcome.Err(); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want one with %q", err, want)
				}
				if log, _ := stopFake(t, f, Stopping{ID: id}); !strings.Contains(log, c.wantLog) {
					t.Errorf("log %q, want one with %q", log, c.wantLog)
				}
			})
		}
	}
}

// TestStepEDF: the EDF of the session inherits the user's and adds the session's directory. A path that does not
// exist ends the session before anything is asked for; of a name, only the site knows.
func TestStepEDF(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, environment, base, note string
	}{
		{"name", "mine", "mine", ""},
		{"unknown-name", "other", "other", "there is no EDF other"},
		{"path", "~/dir/mine.toml", "HOME/dir/mine.toml", ""},
		{"relative", "./dir/mine.toml", "HOME/dir/mine.toml", ""},
		{"quoted", `dir/a "b" \c.toml`, `HOME/dir/a \"b\" \\c.toml`, ""},
		{"unknown-path", "~/dir/other.toml", "", "there is no EDF HOME/dir/other.toml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := slurmtest.New(t)
			for _, file := range []string{".edf/mine.toml", "dir/mine.toml", `dir/a "b" \c.toml`} {
				path := filepath.Join(f.Home, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			here := func(s string) string { return strings.ReplaceAll(s, "HOME", f.Home) }
			id := testID(t)
			r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{
				Environment: c.environment, Argv: []string{"sh", "-c", "cat {dir}/environment.toml; exit 7"},
			}})
			if c.note != "" && c.base != "" {
				if note := await[Note](r); !strings.Contains(note.Message, here(c.note)) {
					t.Errorf("note %q", note.Message)
				}
			}
			r.wait()
			err := r.outcome.Err()
			if c.base == "" {
				if err == nil || !strings.Contains(err.Error(), here(c.note)) || f.Requested() {
					t.Errorf("error %v; a request was made: %v", err, f.Requested())
				}
				return
			}
			log, _ := stopFake(t, f, Stopping{ID: id})
			dir := filepath.Join(f.Home, ".cscs/fake", id)
			if want := here("base_environment = \"" + c.base + "\"\nmounts = [\"" + dir + ":" + dir + "\"]\n"); !strings.Contains(log, want) {
				t.Errorf("log %q, want %q; %v", log, want, err)
			}
			if !strings.Contains(f.Calls(), "--environment="+dir+"/environment.toml /bin/sh "+dir+"/inside.sh") {
				t.Errorf("calls:\n%s", f.Calls())
			}
		})
	}
}

// TestStepOfUenvWaits: slurmctld restarts between the runner's step and that of the uenv. Slurm refuses the first srun,
// or does not answer it, and makes the step for the next one.
func TestStepOfUenvWaits(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		awaitSecondStep(t, slurmtest.New(t), "--uenv=late")
	})
	for name, said := range map[string]string{
		"reset":   "Unable to confirm allocation for job 4711: Connection reset by peer",
		"timeout": "Unable to confirm allocation for job 4711: Socket timed out on send/recv operation",
		"down":    "Unable to confirm allocation for job 4711: Unable to contact slurm controller (connect failure)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t)
			instead(t, f, "srun", `[[ $* == *--uenv=x* ]] && mkdir "$FAKE/refused" 2>/dev/null || exec "$real" "$@"
echo "srun $*" >>"$FAKE/calls"
echo "srun: error: `+said+`" >&2
exit 1`)
			awaitSecondStep(t, f, "--uenv=x")
		})
	}
}

// awaitSecondStep runs a session whose first step of a uenv is not made, and expects one more.
func awaitSecondStep(t *testing.T, f *slurmtest.Cluster, uenv string) {
	t.Helper()
	id := testID(t)
	l := Launch{Argv: serverArgv("127.0.0.1"), Step: []string{uenv}}
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: l})
	first := await[Started](r)
	for {
		e := awaitAny(r)
		if s, ok := e.(Started); ok {
			t.Errorf("its start is reported twice: %+v", s)
		}
		if l, ok := e.(Listening); ok {
			getOK(t, l.Addr)
			if _, port, _ := net.SplitHostPort(l.Addr); port != strconv.Itoa(first.Port) {
				t.Errorf("it listens at %s, and was started for port %d", l.Addr, first.Port)
			}
			break
		}
	}
	if n := strings.Count(f.Calls(), uenv); n != 2 {
		t.Errorf("%d steps were asked for:\n%s", n, f.Calls())
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 5 * time.Second})
}
