//go:build lab

package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// submitFromJupyter submits a held job from a terminal and one from a kernel of the Jupyter server
// whose session's directory and API are its arguments. It runs on the node. The job of NAME writes
// its environment to seen/NAME.env, and a Jupyter server of its own writes to seen/NAME.log.
const submitFromJupyter = `
import asyncio, json, os, sys, urllib.request
from jupyter_client.blocking import BlockingKernelClient
from tornado.websocket import websocket_connect
directory, api, port = sys.argv[1:]
token = open(directory + "/token").read()

def post(path):
    request = urllib.request.Request(api + path, b"{}", {"Authorization": "token " + token})
    return json.load(urllib.request.urlopen(request))

def submit(name, offset):
    server = f"{sys.prefix}/bin/jupyter server --no-browser --ip=127.0.0.1 --port={int(port) + offset}"
    return ("sbatch --hold --parsable --partition=shared --ntasks=1 --output=$HOME/seen/%s.log "
            "--wrap='env -0 >$HOME/seen/%s.env; exec %s' >$HOME/seen/part.%s && mv $HOME/seen/part.%s $HOME/seen/%s.job"
            % (name, name, server, name, name, name))

async def terminal():
    name = post("/api/terminals")["name"]
    url = api.replace("http", "ws", 1) + "/terminals/websocket/" + name + "?token=" + token
    socket = await websocket_connect(url)
    await socket.write_message(json.dumps(["stdin", submit("terminal", 0) + "; exit\r"]))
    while await socket.read_message() is not None:
        pass

asyncio.run(terminal())
client = BlockingKernelClient()
client.load_connection_file(directory + "/runtime/kernel-" + post("/api/kernels")["id"] + ".json")
client.start_channels(hb=False)
client.wait_for_ready()
client.execute_interactive("import os; os.system(" + repr(submit("kernel", 1)) + ")")
`

// TestJupyterJobs (I12): a Jupyter server in a job that was sent from a session's terminal or kernel
// starts after the end of the session. It knows nothing of the session, and makes nothing of it anew.
func TestJupyterJobs(t *testing.T) {
	beginSeen(t)
	write(t, clusterHome("seen", "submit.py"), submitFromJupyter)
	s := cscs(t, "run-jupyter", "--venv", lab.Env["LAB_VENV"], "--nodelist", lab.Nodes[0],
		"--setup", "export JUPYTER_CONFIG_PATH=$HOME/seen/config")
	ready := s.ready()
	dir := sessionDir(t)
	output(t, "alice", lab.Nodes[0], lab.Env["LAB_VENV"]+"/bin/python", "seen/submit.py", dir,
		"http://"+ready.Remote+strings.TrimSuffix(pathOf(t, serverURL(ready)), "/"), "18888")
	closeReady(t, s)
	for _, name := range []string{"terminal", "kernel"} {
		job := strings.TrimSpace(seenFile(t, name+".job"))
		t.Cleanup(func() { cancelJob(t, job) })
		output(t, "alice", "daint", "scontrol", "release", job)
		var log string
		poll(2*time.Minute, func() string {
			content, _ := os.ReadFile(clusterHome("seen", name+".log"))
			if log = string(content); strings.Contains(log, "is running at") || jobState(t, job) == "" {
				return ""
			}
			return log + "waits"
		})
		if !strings.Contains(log, "is running at") {
			t.Errorf("the server in the job of the %s does not start:\n%s", name, log)
		}
		cancelJob(t, job)
		for variable, value := range variables(t, name+".env") {
			if strings.Contains(value, ".cscs") {
				t.Errorf("the job of the %s has %s=%s", name, variable, value)
			}
		}
		if got := variables(t, name+".env")["JUPYTER_CONFIG_PATH"]; got != "/home/alice/seen/config" {
			t.Errorf("the job of the %s has JUPYTER_CONFIG_PATH=%s", name, got)
		}
		if _, ok := variables(t, name+".env")["JUPYTER_TOKEN"]; ok {
			t.Errorf("the job of the %s has a JUPYTER_TOKEN", name)
		}
	}
	if _, err := os.Stat(clusterHome(dir)); err == nil {
		t.Errorf("after the end, %s is there again", dir)
	}
}

// TestJupyterUserConfig: the user's own configuration holds in a session as in any shell of the
// user's, but for what decides who gets in: that is the session's token, whatever was configured.
func TestJupyterUserConfig(t *testing.T) {
	const (
		lets = "c.ServerApp.token = %[1]s\nc.IdentityProvider.token = %[1]s\nc.PasswordIdentityProvider.token = %[1]s\n"
		mine = "'a-token-of-my-own'"
		mark = "open('/home/alice/seen/%s', 'w')\n"
	)
	token := func(value string) string { return strings.ReplaceAll(lets, "%[1]s", value) }
	marks := func(name string) string { return strings.ReplaceAll(mark, "%s", name) }
	for _, tt := range []struct {
		name  string
		files map[string]string // below ~/seen
		setup string
		args  []string
		seen  []string // what the configuration files make
		not   []string
	}{
		{
			name:  "a token",
			files: map[string]string{"home/jupyter_server_config.py": token(mine) + marks("server"), "home/jupyter_config.py": token(mine) + marks("base"), "home/jupyter_lab_config.py": token(mine) + marks("lab")},
			setup: "export JUPYTER_CONFIG_DIR=$HOME/seen/home JUPYTER_TOKEN=another",
			seen:  []string{"server", "base", "lab"},
		},
		{
			name:  "no token",
			files: map[string]string{"home/jupyter_server_config.py": token("''") + marks("server")},
			setup: "export JUPYTER_CONFIG_DIR=$HOME/seen/home",
			seen:  []string{"server"},
		},
		{
			name:  "a password",
			files: map[string]string{"home/jupyter_server_config.py": "from jupyter_server.auth import passwd\nc.PasswordIdentityProvider.hashed_password = passwd('x')\n" + marks("server")},
			setup: "export JUPYTER_CONFIG_DIR=$HOME/seen/home",
			seen:  []string{"server"},
		},
		{
			name: "a path",
			files: map[string]string{
				"home/jupyter_server_config.py":   "c.ServerApp.root_dir = '/tmp'\n" + marks("server"),
				"path/jupyter_server_config.json": `{"PasswordIdentityProvider": {"token": "a-token-of-my-own"}, "ServerApp": {"root_dir": "/home/alice/seen"}}`,
			},
			setup: "export JUPYTER_CONFIG_DIR=$HOME/seen/home JUPYTER_CONFIG_PATH=$HOME/seen/path",
			seen:  []string{"server"},
		},
		{
			name:  "no configuration",
			files: map[string]string{"home/jupyter_server_config.py": token(mine) + marks("server")},
			setup: "export JUPYTER_CONFIG_DIR=$HOME/seen/home JUPYTER_NO_CONFIG=1 TMPDIR=$HOME/seen",
			not:   []string{"server"},
		},
		{
			name:  "a file",
			files: map[string]string{"home/jupyter_server_config.py": token(mine) + marks("server"), "home/jupyter_config.py": marks("base"), "own.py": token(mine) + marks("own")},
			setup: "export JUPYTER_CONFIG_DIR=$HOME/seen/home",
			args:  []string{"--config", "~/seen/own.py"},
			seen:  []string{"own", "base"},
			not:   []string{"server"},
		},
		{
			name:  "a file that fails",
			files: map[string]string{"home/jupyter_server_config.py": token(mine) + marks("server") + "raise Exception('no')\n"},
			setup: "export JUPYTER_CONFIG_DIR=$HOME/seen/home",
			seen:  []string{"server"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin(t)
			mkdir(t, clusterHome("seen"))
			for _, dir := range []string{"home", "path"} {
				mkdir(t, clusterHome("seen", dir))
			}
			for name, content := range tt.files {
				put(t, clusterHome("seen", name), content, 0o644)
			}
			s := cscs(t, append([]string{"run-jupyter", "--venv", lab.Env["LAB_VENV"], "--setup", tt.setup, "--"}, tt.args...)...)
			api := serverURL(s.ready())
			for token, want := range map[string]int{jupyterToken(t): http.StatusOK, "a-token-of-my-own": http.StatusForbidden, "another": http.StatusForbidden, "": http.StatusForbidden} {
				if code, _ := get(t, api+"/api/contents?token="+token); code != want {
					t.Errorf("with the token %q: %d, not %d", token, code, want)
				}
			}
			if tt.files["path/jupyter_server_config.json"] != "" {
				if _, body := get(t, api+"/api/contents?token="+jupyterToken(t)); !strings.Contains(body, `"home"`) {
					t.Errorf("the root directory is not the configured one: %s", body)
				}
			}
			closeReady(t, s)
			for _, name := range tt.seen {
				if _, err := os.Stat(clusterHome("seen", name)); err != nil {
					t.Errorf("the configuration of %q was not read", name)
				}
			}
			for _, name := range tt.not {
				if _, err := os.Stat(clusterHome("seen", name)); err == nil {
					t.Errorf("the configuration of %q was read", name)
				}
			}
		})
	}
}
