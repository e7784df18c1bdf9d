package slurm

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// A Launch describes how the server starts on the first node, in the user's login environment.
type Launch struct {
	Argv          []string          // the node replaces {port} and {dir}
	Env           map[string]string // the same in the values
	Unset         []string          // variables of the login environment that must not reach the server
	Files         map[string][]byte // for the session's directory {dir}, mode 0600
	Setup         []string          // shell commands to run before, in the server's shell
	Venv          string            // a Python virtual environment to activate; ~ is the home there
	Package       string            // the Python package with the server's program; "": unknown
	Program       string            // the server's program
	Bootstrap     bool              // if Program is missing, install Package in Venv or in an environment in the home
	Workdir       string            // ~ is the home there; "": the home, or the EDF's directory in a container
	Reads         []string          // paths that the server shows; missing ones are reported; ~ as above
	Step          []string          // srun options of the server's own step: --uenv=…, --repo=…
	Environment   string            // the EDF of that step's container: a path or a name; "": no container
	Port          int               // 0: the runner chooses a free port
	Wish          int               // the port to choose if it is free; 0: any
	AllowWideBind bool              // let the server listen on more than loopback
	ForwardNew    bool              // report the user's other listeners while the server listens
	Grace         time.Duration     // time between SIGTERM and SIGKILL, rounded up to seconds
}

// writeVars writes the variables of the remote half that start the server.
func (l Launch) writeVars(v *vars) {
	env := make([]string, 0, len(l.Env))
	for k, val := range l.Env {
		env = append(env, k+"="+val)
	}
	slices.Sort(env)
	v.setList("cscs_argv", l.Argv)
	v.setList("cscs_env", env)
	v.setList("cscs_unset", l.Unset)
	v.setTable("cscs_files", l.Files)
	v.setList("cscs_setup", l.Setup)
	v.setValue("cscs_venv", l.Venv)
	v.setValue("cscs_package", l.Package)
	v.setValue("cscs_program", l.Program)
	v.setFlag("cscs_bootstrap", l.hasBootstrap())
	v.setValue("cscs_workdir", l.Workdir)
	v.setList("cscs_reads", l.Reads)
	v.setList("cscs_step_args", l.stepOptions("{dir}/environment.toml"))
	v.setValue("cscs_environment", l.Environment)
	v.setList("cscs_srun_args", stepArgs)
	v.setValue("cscs_port", strconv.Itoa(l.Port))
	v.setValue("cscs_wish", strconv.Itoa(l.Wish))
	v.setFlag("cscs_allow_wide", l.AllowWideBind)
	v.setFlag("cscs_forward_new", l.ForwardNew)
	v.setValue("cscs_grace", formatSeconds(l.Grace))
}

// stepArgs are the srun options of a step with all of the allocation on one node: all CPUs (no
// binding) and all memory, shared with everything else that runs there (srun(1)).
var stepArgs = []string{"--overlap", "--nodes=1", "--ntasks=1", "--cpu-bind=none", "--mem=0",
	"--mpi=none", "--export=ALL", "--input=none", "--unbuffered"}

// stepOptions returns the srun options of the server's own step; edf is the EDF of a container.
// Without options there is no such step.
func (l Launch) stepOptions(edf string) []string {
	if l.Environment == "" {
		return l.Step
	}
	return append(slices.Clone(l.Step), "--environment="+edf)
}

// CommandLine returns the server's command in a shell's syntax, with its own step if there is one.
// Values that only the node knows: {port}, {dir}, {job}, {node}, {gres} (generic resources).
func (l Launch) CommandLine() string {
	var parts []string
	if len(l.Unset) > 0 {
		parts = append(parts, "unset "+strings.Join(l.Unset, " "))
	}
	if l.Workdir != "" {
		parts = append(parts, "cd "+quotePath(l.Workdir))
	}
	if l.Venv != "" {
		parts = append(parts, ". "+quotePath(l.Venv+"/bin/activate"))
	}
	env := make([]string, 0, len(l.Env))
	for k, val := range l.Env {
		if ExpandsEnv(val) {
			env = append(env, k+"="+quoteVariables(val))
		} else {
			env = append(env, k+"="+shellescape.Quote(val))
		}
	}
	slices.Sort(env)
	if len(env) > 0 {
		parts = append(parts, "export "+strings.Join(env, " "))
	}
	parts = append(parts, l.Setup...)
	parts = append(parts, quoteArguments(l.Argv, l.Reads))
	cmd := strings.Join(parts, " && ")
	if step := l.stepOptions(l.Environment); len(step) > 0 {
		srun := append([]string{"srun", "--jobid={job}"}, stepArgs...)
		srun = append(srun, "--gres={gres}", "--nodelist={node}")
		cmd = shellescape.QuoteCommand(srun) + " " + quoteOptions(step) + " sh -c " + shellescape.Quote(cmd)
	}
	return cmd
}

func (l Launch) hasBootstrap() bool { return l.Bootstrap && l.Package != "" }

// BootstrapLine returns the commands by which the node installs Package; "" if it installs nothing.
// Without Venv, the directory is {venv}.
func (l Launch) BootstrapLine() string {
	if !l.hasBootstrap() {
		return ""
	}
	dir := "{venv}"
	if l.Venv != "" {
		dir = quotePath(strings.TrimSuffix(l.Venv, "/"))
	}
	site := ""
	if len(l.stepOptions(l.Environment)) > 0 {
		site = " --system-site-packages"
	}
	return "python3 -m venv" + site + " " + dir + " && " + dir + "/bin/python -I -m pip install " + shellescape.Quote(l.Package)
}

// quotePath quotes a path, except its variables and a leading ~, which is the home directory there.
func quotePath(p string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		return "~/" + quoteVariables(rest)
	}
	if p == "~" {
		return p
	}
	return quoteVariables(p)
}

// formatSeconds returns d in seconds, rounded up.
func formatSeconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}
