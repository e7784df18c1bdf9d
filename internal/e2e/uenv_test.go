//go:build lab

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestUenvPath: the view is first in the server's PATH, whatever the user's login shell does to it.
func TestUenvPath(t *testing.T) {
	reset := "export PATH=/usr/local/bin:/usr/bin:/bin FROM_LOGIN=yes\n"
	for _, c := range []struct {
		name  string
		shell string
		files map[string]string // start-up files, below the home
	}{
		// /etc/profile of Debian resets PATH, and that of SLES sets much of it again.
		{"bash", "/bin/bash", map[string]string{".profile": "FROM_LOGIN=yes; export FROM_LOGIN\n"}},
		{"bash-profile", "/bin/bash", map[string]string{".bash_profile": reset}},
		{"zsh", "/bin/zsh", map[string]string{".zshenv": reset, ".zprofile": reset}},
		{"tcsh", "/bin/tcsh", map[string]string{".tcshrc": "setenv PATH /usr/local/bin:/usr/bin:/bin\nsetenv FROM_LOGIN yes\n"}},
		{"fish", "/usr/bin/fish", map[string]string{".config/fish/config.fish": "set -gx PATH /usr/local/bin /usr/bin /bin\nset -gx FROM_LOGIN yes\n"}},
		{"bash-env", "/bin/bash", map[string]string{".profile": "export FROM_LOGIN=yes BASH_ENV=$HOME/.bash_env ENV=$HOME/.bash_env\n", ".bash_env": reset}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			for path, text := range c.files {
				if filepath.Dir(path) != "." {
					for _, dir := range []string{".config", filepath.Dir(path)} {
						if _, err := os.Stat(clusterHome(dir)); err != nil {
							mkdir(t, clusterHome(dir))
						}
					}
				}
				put(t, clusterHome(path), text, 0o644)
			}
			giveShell(t, c.shell)
			s := serve(t, []string{"--uenv", "prgenv-gnu/24.11:v1", "--view", "default"})
			env := serverEnv(t, s.ready().URL)
			if !strings.HasPrefix(env["PATH"], viewPath) {
				t.Errorf("PATH is %s", env["PATH"])
			}
			if env["FROM_LOGIN"] != "yes" {
				t.Error("the login environment is missing")
			}
			closeReady(t, s)
		})
	}
}

// TestUenvSlowServer: srun listens on all addresses of the node for as long as the step of the uenv runs. That is not
// a server of the user's that listens in the wrong place.
func TestUenvSlowServer(t *testing.T) {
	begin(t)
	hook := clusterHome("go-on")
	t.Cleanup(func() { _ = os.Remove(hook) })
	s := cscs(t, "run", "--uenv", "prgenv-gnu/24.11:v1", "--", "sh", "-c", "until [ -e go-on ]; do sleep 0.1; done; exec "+lab.testserver+" 127.0.0.1:$PORT")
	s.wait("started")
	if e, ok := s.await(10*time.Second, "warning", "ready", "ended"); ok {
		t.Errorf("%s: %s", e.Event, e.Message)
	}
	put(t, hook, "", 0o644)
	s.ready()
	closeReady(t, s)
}

// giveShell makes shell alice's login shell on the cluster for the length of the test.
func giveShell(t *testing.T, shell string) {
	t.Helper()
	set := func(shell string) {
		for _, host := range append([]string{"daint", "daint2"}, lab.Nodes...) {
			output(t, "root", host, "usermod", "--shell", shell, "alice")
		}
	}
	t.Cleanup(func() { set("/bin/bash") })
	set(shell)
}

// TestUenvSetup: a function of the login shell, such as module, is there for --setup.
func TestUenvSetup(t *testing.T) {
	begin(t)
	// Some users' functions have names of commands that cscs calls, too.
	put(t, clusterHome(".bash_profile"), "load() { LOADED=$1; export LOADED; }\nexec() { false; }\neval() { false; }\nset -a\nexport -f exec eval\n", 0o644)
	s := serve(t, []string{"--uenv", "prgenv-gnu", "--setup", "load cray"})
	if env := serverEnv(t, s.ready().URL); env["LOADED"] != "cray" {
		t.Errorf("LOADED is %q", env["LOADED"])
	}
	closeReady(t, s)
}

// TestUenvVenv: what a virtual environment has, a uenv does not shadow: its view is in PYTHONPATH,
// which Python searches first.
func TestUenvVenv(t *testing.T) {
	activate := "VIRTUAL_ENV=$HOME/venv; export VIRTUAL_ENV; PATH=$VIRTUAL_ENV/bin:$PATH; export PATH\n"
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"venv", []string{"--venv", "venv"}},
		{"setup", []string{"--setup", ". venv/bin/activate"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			output(t, "alice", "daint", "python3", "-m", "venv", "--without-pip", "venv")
			t.Cleanup(func() { output(t, "alice", "daint", "rm", "-rf", "venv") })
			put(t, clusterHome("venv/bin/activate"), activate, 0o644)
			site := output(t, "alice", "daint", "venv/bin/python", "-c", "import site; print(site.getsitepackages()[0])")
			put(t, strings.Replace(site, "/home/alice", clusterHome(), 1)+"/shadowed.py", "ORIGIN = 'venv'\n", 0o644)
			put(t, clusterHome("where.sh"), "#!/bin/sh\nORIGIN=$(python3 -c 'import shadowed; print(shadowed.ORIGIN)') exec \"$@\"\n", 0o755)
			s := cscs(t, append(append([]string{"run"}, append(c.flags, "--uenv", "pytorch")...), "--", "./where.sh", lab.testserver, "127.0.0.1:{port}")...)
			env := serverEnv(t, s.ready().URL)
			if env["ORIGIN"] != "venv" {
				t.Errorf("a module of the venv comes from the %q, with PYTHONPATH=%s", env["ORIGIN"], env["PYTHONPATH"])
			}
			if !strings.Contains(env["PYTHONPATH"], viewPython) {
				t.Errorf("the view is missing in PYTHONPATH=%s", env["PYTHONPATH"])
			}
			closeReady(t, s)
		})
	}
}

// TestUenvOptions: options of the step reach srun, and neither salloc nor sbatch.
func TestUenvOptions(t *testing.T) {
	for _, via := range []string{"salloc", "sbatch"} {
		t.Run(via, func(t *testing.T) {
			begin(t)
			mkdir(t, clusterHome("repo"))
			mkdir(t, clusterHome("repo/own"))
			s := serve(t, []string{"--via", via, "--uenv", "own/1.0", "--slurm=--repo=/home/alice/repo", "--slurm=--no-default-view", "--slurm=--uenv-passthrough=ignore"})
			env := serverEnv(t, s.ready().URL)
			got := fmt.Sprint(env["UENV_NAME"], " ", env["UENV_VIEW"], " ", env["UENV_PASSTHROUGH"])
			if got != "own/1.0  ignore" {
				t.Errorf("the uenv, its view and the passthrough are %q", got)
			}
			closeReady(t, s)
		})
	}
}
