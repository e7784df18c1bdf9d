//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A jupyterMethod is a way to bring JupyterLab to the laptop.
type jupyterMethod struct {
	name    string
	port    int    // on the laptop
	command string // run as alice on the laptop; $CSCS and $PEERS are set
}

// jupyterMethods are cscs, the recipe by hand and other tools. Each is set up and called as its
// documentation says.
var jupyterMethods = []jupyterMethod{
	{"cscs", 8888, `"$CSCS" run-jupyter --cluster daint --venv /opt/venv --port 8888 --time 10 --no-browser --protect=false`},
	{"by hand", 8887, `bash ~/by-hand.sh 8887 /opt/venv/bin/jupyter lab --no-browser --ip=127.0.0.1 --port=8887`},
	{"foldspace 1.0.3", 8891, `"$PEERS"/foldspace==1.0.3/bin/foldspace --host daint --toolbox toolbox --tool jupyter --port 8891 --partition normal --time 10`},
	{"milatools 0.1.11", 8899, `"$PEERS"/milatools==0.1.11/bin/mila serve lab --profile lab --port 8899 --alloc --partition=normal --time=10`},
	{"jupyter-forward 2025.1.16", 8890, `"$PEERS"/jupyter-forward==2025.1.16/bin/jupyter-forward daint --conda-env lab --port 8890 ` +
		`--launch-command "sbatch --partition=normal --time=10 --output=/dev/null"`},
}

// preparePeersOnLogin sets up the login node for the tools. jupyter-forward needs a PATH, milatools a
// profile, foldspace a toolbox whose jobs report where their server listens.
const preparePeersOnLogin = `set -e
echo 'PATH=/opt/venv/bin:$PATH' >~/.bash_profile
mkdir -p ~/.milatools/profiles ~/toolbox/tools/jupyter
echo 'source /opt/venv/bin/activate' >~/.milatools/profiles/lab.bash
cat >~/toolbox/toolbox.yml <<'END'
cluster_name: daint
scheduler: slurm
user_dir: /home/alice/.foldspace
tools: {jupyter: JupyterLab}
motd:
END
cat >~/toolbox/tools/jupyter/slurm.sh <<'END'
#!/bin/bash
#SBATCH --output=/dev/null
dir=~/.foldspace/sessions/job_$SLURM_JOB_ID-files
mkdir -p "$dir"
printf '%s\n' "node: $(hostname)" 'port: 8889' 'token: lab' 'job_info: job' 'tool_info: tool' >"$dir/new"
mv "$dir/new" "$dir/connection.yml"
exec /opt/venv/bin/jupyter lab --no-browser --ip="$(hostname)" --port=8889 --IdentityProvider.token=lab
END
`

// measureJupyter measures the time from the command to JupyterLab's first answer on the laptop. Each tool
// has a terminal, and each round begins with another tool.
func (b *bench) measureJupyter(ctx context.Context, r record) error {
	for _, file := range []struct{ host, command, text string }{
		{"laptop", "mkdir -p ~/.ssh && cat >~/.ssh/config", strings.Replace(sshConfig, "Host daint\n", "Host daint mila\n", 1)},
		{"laptop", "cat >~/by-hand.sh", byHandScript},
		{"daint", "bash", preparePeersOnLogin},
	} {
		if err := b.feedShell(ctx, file.host, file.command, file.text); err != nil {
			return err
		}
	}
	for round := range b.rounds {
		for i := range jupyterMethods {
			w := jupyterMethods[(round+i)%len(jupyterMethods)]
			if err := b.awaitQuiet(ctx); err != nil {
				return err
			}
			took, err := b.awaitJupyter(ctx, w)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if err := r.writeResult(w.name, round, took.Seconds(), "s"); err != nil {
				return err
			}
		}
	}
	return nil
}

// inTerminal runs $TOOL in a terminal until it ends. It uses tmux, because some tools query their
// terminal's features and wait for the answer.
const inTerminal = `cd && tmux -f /dev/null new-session -d -x 120 -y 40 'echo $EPOCHREALTIME >began; script -qec "$TOOL" terminal; tmux wait-for -S ended' &&
	exec tmux wait-for ended`

// awaitJupyter runs a tool until JupyterLab answers, ends the tool and its jobs, and returns how long the
// answer took.
func (b *bench) awaitJupyter(ctx context.Context, w jupyterMethod) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	c := b.As(ctx, "alice", "laptop", "env", "BROWSER=/bin/true", "CSCS="+b.cscs, "PEERS="+b.peers, "TOOL="+w.command, "bash", "-c", inTerminal)
	if err := c.Start(); err != nil {
		return 0, err
	}
	running, ended := context.WithCancel(ctx)
	go func() { _ = c.Wait(); ended() }()
	answered, err := b.pollJupyter(running, w.port)
	if err != nil {
		terminal, _ := b.As(context.WithoutCancel(ctx), "alice", "laptop", "tail", "-c", "2000", "/home/alice/terminal").Output()
		return 0, fmt.Errorf("%w:\n%s", err, terminal)
	}
	text, err := b.As(ctx, "alice", "laptop", "cat", "/home/alice/began").Output()
	if err != nil {
		return 0, fmt.Errorf("read when it began: %w", err)
	}
	start, err := parseEpoch(string(text))
	if err != nil {
		return 0, err
	}
	// Some tools leave their job running, and some ask before they end.
	_ = b.As(ctx, "root", "laptop", "pkill", "-TERM", "-u", "alice").Run()
	select {
	case <-running.Done():
	case <-time.After(10 * time.Second):
		_ = b.As(ctx, "root", "laptop", "pkill", "-KILL", "-u", "alice").Run()
		<-running.Done()
	}
	return answered.Sub(start), b.cancelJobs(ctx)
}

// cancelJobs cancels alice's jobs in the queue.
func (b *bench) cancelJobs(ctx context.Context) error {
	if out, err := b.As(ctx, "alice", "daint", "scancel", "-u", "alice").CombinedOutput(); err != nil {
		return fmt.Errorf("scancel: %w: %s", err, out)
	}
	return nil
}

// pollJupyter sends a request to a port of the laptop every 50 ms until Tornado, JupyterLab's HTTP server,
// answers. Pages of other servers, such as the waiting page of cscs, do not count.
func (b *bench) pollJupyter(ctx context.Context, port int) (time.Time, error) {
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		resp, err := b.requestURL(try, fmt.Sprintf("http://127.0.0.1:%d/", port))
		cancel()
		if err == nil {
			_ = resp.Body.Close()
			if isJupyter(resp) {
				return time.Now(), nil
			}
		}
		sleepContext(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			return time.Time{}, fmt.Errorf("JupyterLab does not answer on port %d: %w", port, ctx.Err())
		}
	}
}

func isJupyter(resp *http.Response) bool {
	return strings.HasPrefix(resp.Header.Get("Server"), "Tornado") && resp.StatusCode < http.StatusInternalServerError
}
