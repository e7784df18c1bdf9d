package slurm

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
)

// A Launch is how the server is started on the first node of the allocation, in
// the user's login environment there.
type Launch struct {
	Argv          []string          // {port} and {dir} are replaced on the node
	Env           map[string]string // likewise, in the values
	Unset         []string          // variables of the login environment that must not reach the server
	Files         map[string][]byte // written, 0600, into the session's directory {dir}
	Setup         []string          // shell commands to be run before, in the server's shell
	Venv          string            // a Python virtual environment to be activated; ~ is the home there
	Package       string            // the Python package that has the server's program; empty: none is known
	Program       string            // that program
	Bootstrap     bool              // make an environment with Package, Venv or one in the home, if Program is not there
	Workdir       string            // ~ is the home there; empty: the home, or in a container the EDF's directory
	Reads         []string          // paths that the server is to show, which may be told to be missing; likewise
	Step          []string          // srun options of a step for the server alone: --uenv=…, --repo=…
	Environment   string            // the EDF of the container in which that step runs: a path or a name; empty: none
	Port          int               // 0: a free one, chosen on the node
	Wish          int               // the one to choose if it is free there; 0: any
	AllowWideBind bool              // let it listen on more than loopback
	ForwardNew    bool              // go on telling of the user's other listeners while the server is up
	Grace         time.Duration     // between asking the server to end and killing it; whole seconds
}

func (l Launch) writeVars(v *vars) {
	env := make([]string, 0, len(l.Env))
	for k, val := range l.Env {
		env = append(env, k+"="+val)
	}
	sort.Strings(env)
	files := make(map[string]string, len(l.Files))
	for name, text := range l.Files {
		files[name] = string(text)
	}
	v.setList("cscs_argv", l.Argv)
	v.setList("cscs_env", env)
	v.setList("cscs_unset", l.Unset)
	v.setTable("cscs_files", files)
	v.setList("cscs_setup", l.Setup)
	v.setValue("cscs_venv", l.Venv)
	v.setValue("cscs_package", l.Package)
	v.setValue("cscs_program", l.Program)
	v.setValue("cscs_bootstrap", l.bootstrapFlag())
	v.setValue("cscs_workdir", l.Workdir)
	v.setList("cscs_reads", l.Reads)
	v.setList("cscs_step_args", l.stepOptions("{dir}/environment.toml"))
	v.setValue("cscs_environment", l.Environment)
	v.setList("cscs_srun_args", stepArgs)
	v.setValue("cscs_port", strconv.Itoa(l.Port))
	v.setValue("cscs_wish", strconv.Itoa(l.Wish))
	v.setValue("cscs_allow_wide", formatFlag(l.AllowWideBind))
	v.setValue("cscs_forward_new", formatFlag(l.ForwardNew))
	v.setValue("cscs_grace", formatSeconds(l.Grace))
}

// stepArgs make a step that has all of the allocation on one node: all CPUs (no
// binding), all memory; shared with whatever else runs there (srun(1)).
var stepArgs = []string{"--overlap", "--nodes=1", "--ntasks=1", "--cpu-bind=none", "--mem=0",
	"--mpi=none", "--export=ALL", "--input=none", "--unbuffered"}

// stepOptions returns the srun options of the server's own step, where edf is the EDF of a container.
// There is no such step without options.
func (l Launch) stepOptions(edf string) []string {
	if l.Environment == "" {
		return l.Step
	}
	return append(slices.Clone(l.Step), "--environment="+edf)
}

// CommandLine returns the server's command, as a shell would have to be given it,
// with the step that is made for it, if one is. What is known only there stands as
// {port}, {dir}, {job}, {node} and, for the generic resources of the node, {gres}.
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
	sort.Strings(env)
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

func (l Launch) bootstrapFlag() string {
	if l.Bootstrap && l.Package != "" {
		return "1"
	}
	return ""
}

// BootstrapLine returns the commands by which the node installs Package, with the directory that Venv leaves open as
// {venv}; empty: it installs nothing.
func (l Launch) BootstrapLine() string {
	if l.bootstrapFlag() == "" {
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

// quotePath quotes a path, but for a leading ~, which is the home there, and variables.
func quotePath(p string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		return "~/" + quoteVariables(rest)
	}
	if p == "~" {
		return p
	}
	return quoteVariables(p)
}

func formatFlag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func formatSeconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}
