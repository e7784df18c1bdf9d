package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/spawn"
)

// launchServer starts the server, as slurm/remote/50-launch.sh does. An error is one that the
// user has to fix.
func (r *runner) launchServer() error {
	a := r.s.asked
	if len(a.List("step_args")) > 0 {
		return errNoUenv
	}
	env := r.loginEnvironment(a.List("unset"))
	plan, err := planLaunch(a, func(name string) string { return orHome(name, env.get(name)) })
	if err != nil {
		return fmt.Errorf("%w on %s", err, r.node)
	}
	work := r.c.expandPath(plan.workdir)
	if info, err := os.Stat(work); err != nil || !info.IsDir() {
		return fmt.Errorf("the work directory %s does not exist on %s", plan.workdir, r.node)
	}
	if plan.venv != "" {
		dir := absolutePath(work, r.c.expandPath(plan.venv))
		env.set("VIRTUAL_ENV", dir)
		env.set("PATH", filepath.Join(dir, venvPrograms)+string(filepath.ListSeparator)+env.get("PATH"))
	}
	place := strings.NewReplacer("{port}", strconv.Itoa(r.port), "{dir}", r.s.dir).Replace
	for _, kv := range plan.env {
		name, value, _ := strings.Cut(kv, "=")
		env.set(name, place(value))
	}
	var argv []string
	for _, arg := range plan.argv {
		argv = append(argv, place(arg))
	}
	program, err := r.findProgram(argv[0], env, work)
	if err != nil {
		return err
	}
	if argv, err = setUp(a.List("setup"), r.failureFile(), append([]string{program}, argv[1:]...)); err != nil {
		return err
	}
	r.proc, err = startProcess(argv, env.all, work, r.s.log)
	if err != nil {
		return fmt.Errorf("%s cannot be run on %s: %w", argv[0], r.node, err)
	}
	r.c.recordStep(r.s.id, r.node, fmt.Sprintf("the server starts, as process %d, and is to listen on port %d", r.proc.pid, r.port))
	r.s.appendEvent("started", "node="+r.node, "pid="+strconv.Itoa(r.proc.pid), "port="+strconv.Itoa(r.port))
	return nil
}

// findProgram returns the path of a program, found by the PATH that the server will have.
// PageProgram is this program itself.
func (r *runner) findProgram(name string, env *environ, work string) (string, error) {
	if name == PageProgram {
		env.set(helperEnv, pageHelper)
		env.set(journalEnv, filepath.Join(r.s.dir, journalFile))
		return spawn.Executable()
	}
	path := env.get("PATH")
	if strings.ContainsRune(name, '/') || strings.ContainsRune(name, filepath.Separator) {
		if found := findExecutable(absolutePath(work, name), env); found != "" {
			return found, nil
		}
	} else {
		for _, dir := range filepath.SplitList(path) {
			if found := findExecutable(filepath.Join(absolutePath(work, dir), name), env); found != "" {
				return found, nil
			}
		}
	}
	return "", fmt.Errorf("%s was not found on %s of the demo, which is this machine (PATH=%s)", name, r.node, path)
}

// findExecutable returns the executable file at path, or "". On Windows it tries the extensions
// of PATHEXT.
func findExecutable(path string, env *environ) string {
	extensions := []string{""}
	if runtime.GOOS == "windows" {
		extensions = append(extensions, strings.Split(strings.ToLower(env.get("PATHEXT")), ";")...)
	}
	for _, ext := range extensions {
		info, err := os.Stat(path + ext)
		if err == nil && !info.IsDir() && (runtime.GOOS == "windows" && (ext != "" || filepath.Ext(path) != "") || info.Mode()&0o111 != 0) {
			return path + ext
		}
	}
	return ""
}

// failureFile returns the file in which the server's shell reports a failed --setup.
func (r *runner) failureFile() string { return filepath.Join(r.s.dir, "failure") }

// setUp returns a command that runs the user's shell commands and then argv. If one of them
// fails, the shell writes its status to the file failure.
func setUp(commands []string, failure string, argv []string) ([]string, error) {
	if len(commands) == 0 {
		return argv, nil
	}
	if runtime.GOOS == "windows" {
		return nil, fmt.Errorf("the demo runs no --setup on Windows")
	}
	var script strings.Builder
	for _, c := range commands {
		words := shellescape.Quote("--setup \"" + c + "\" ended with status")
		script.WriteString(c + "\nc=$?; [ $c = 0 ] || { printf '%s %s\\n' " + words + " $c >\"$0\"; exit 97; }\n")
	}
	script.WriteString("exec \"$@\"\n")
	return append([]string{"/bin/sh", "-c", script.String(), failure}, argv...), nil
}

// An environ is an environment under construction.
type environ struct{ all []string }

func (e *environ) get(name string) string {
	for _, kv := range e.all {
		if k, v, ok := strings.Cut(kv, "="); ok && sameName(k, name) {
			return v
		}
	}
	return ""
}

func (e *environ) set(name, value string) {
	e.unset(name)
	e.all = append(e.all, name+"="+value)
}

func (e *environ) unset(name string) {
	e.all = slices.DeleteFunc(e.all, func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return sameName(k, name)
	})
}

func sameName(a, b string) bool {
	return a == b || runtime.GOOS == "windows" && strings.EqualFold(a, b)
}

// loginEnvironment returns a node's login environment: this process's, without the variables of
// SSH and cscs. HOME stays the user's, because much of Python is found by it. Jupyter and
// similar programs keep their files below the cluster's home, which is removed with the cluster.
// JUPYTER_PATH still leads to the user's own kernels.
func (r *runner) loginEnvironment(unset []string) *environ {
	e := &environ{}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "CSCS_") && !strings.HasPrefix(name, "SSH_") {
			e.all = append(e.all, kv)
		}
	}
	home := r.c.homeDir()
	if real, err := os.UserHomeDir(); err == nil {
		e.set("JUPYTER_PATH", strings.Trim(e.get("JUPYTER_PATH")+string(filepath.ListSeparator)+filepath.Join(real, ".local", "share", "jupyter"), string(filepath.ListSeparator)))
	}
	e.set("JUPYTER_CONFIG_DIR", filepath.Join(home, ".jupyter"))
	e.set("JUPYTER_DATA_DIR", filepath.Join(home, ".local", "share", "jupyter"))
	e.set("IPYTHONDIR", filepath.Join(home, ".ipython"))
	e.set("XDG_CACHE_HOME", filepath.Join(home, ".cache"))
	e.set("npm_config_cache", filepath.Join(home, ".npm")) // JupyterLab asks npm for its version, and npm writes a log
	e.set("PORT", strconv.Itoa(r.port))
	e.set("CSCS_SESSION", r.s.id)
	e.set("SLURMD_NODENAME", r.node)
	for _, name := range unset {
		e.unset(name)
	}
	return e
}
