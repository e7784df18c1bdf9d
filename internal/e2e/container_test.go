//go:build lab

package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// edf writes an EDF of alice's, by its path below her home.
func edf(t *testing.T, path, text string) {
	t.Helper()
	put(t, clusterHome(path), text, 0o644)
}

// contained starts "cscs run" with the test server that inImage mounts.
func contained(t *testing.T, flags []string, server ...string) *session {
	t.Helper()
	words := append(append([]string{"run"}, flags...), "--", "/srv/testserver")
	return cscs(t, append(append(words, server...), "127.0.0.1:{port}")...)
}

// serverEnv is the environment of the test server.
func serverEnv(t *testing.T, url string) map[string]string {
	t.Helper()
	_, text := get(t, url+"env")
	env := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		env[name] = value
	}
	return env
}

// TestContainer: a container has nothing of the host but what its EDF mounts. The server starts there, in
// the EDF's directory, with the image's PATH and the allocation's variables.
func TestContainer(t *testing.T) {
	for _, c := range []struct {
		name      string
		edfs      map[string]string
		flags     []string
		dir, path string
	}{
		{"name", map[string]string{".edf/mine.toml": inImage(debianImage)}, []string{"--environment", "mine"}, "/", debianPath},
		{"sh-alone", map[string]string{".edf/mine.toml": inImage(bareImage)}, []string{"--environment", "mine"}, "/", barePath},
		{"absolute-path", map[string]string{"mine.toml": inImage(bareImage)}, []string{"--environment", "/home/alice/mine.toml"}, "/", barePath},
		{"relative-path", map[string]string{"mine.toml": inImage(bareImage)}, []string{"--environment", "./mine.toml"}, "/", barePath},
		{
			"variable", map[string]string{"work/mine.toml": inImage(bareImage), ".profile": "EDFS=$HOME/work\n"},
			[]string{"--environment", "$EDFS/mine.toml"}, "/", barePath,
		},
		{"below-the-home", map[string]string{"mine.toml": inImage(bareImage)}, []string{"--environment", "~/mine.toml"}, "/", barePath},
		{
			"inherits", map[string]string{".edf/base.toml": inImage(bareImage, `workdir = "/srv"`), ".edf/mine.toml": "base_environment = \"base\"\n"},
			[]string{"--environment", "mine"}, "/srv", barePath,
		},
		{
			"search-path", map[string]string{"work/mine.toml": inImage(bareImage), ".profile": "export EDF_PATH=$HOME/work\n"},
			[]string{"--environment", "mine"}, "/", barePath,
		},
		{"workdir", map[string]string{".edf/mine.toml": inImage(bareImage, `workdir = "/srv"`)}, []string{"--environment", "mine"}, "/srv", barePath},
		{
			"own-workdir", map[string]string{".edf/mine.toml": inImage(bareImage, `workdir = "/srv"`)},
			[]string{"--environment", "mine", "--workdir", "/bin"}, "/bin", barePath,
		},
		{
			"container-workdir", map[string]string{".edf/mine.toml": inImage(bareImage, `workdir = "/srv"`)},
			[]string{"--environment", "mine", "--slurm=--container-workdir=/etc"}, "/etc", barePath,
		},
		{
			"mounts-the-home", map[string]string{".edf/mine.toml": "image = \"" + debianImage + "\"\nmounts = [\"/home:/home\", \"/home/testserver:/srv/testserver\"]\nworkdir = \"${HOME}\"\n"},
			[]string{"--environment", "mine"}, "/home/alice", debianPath,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			mkdir(t, clusterHome(".edf"))
			mkdir(t, clusterHome("work"))
			for path, text := range c.edfs {
				edf(t, path, text)
			}
			s := contained(t, append(c.flags, "--env", "MINE=it's $HOME"))
			url := s.ready().URL
			if dir := about(t, url)["dir"]; dir != c.dir {
				t.Errorf("it runs in %s, want %s", dir, c.dir)
			}
			env := serverEnv(t, url)
			for name, want := range map[string]string{
				"PATH": c.path, "MINE": "it's $HOME", "HOME": "/home/alice", "CLUSTER_NAME": "daint", // by the login's start-up files
				"SLURM_JOB_NAME": "interactive", "SLURM_NNODES": "1", "SQUEUE_FORMAT": "%.10i %.12j %.8u %.10a %.2t %.19S %.10l %.6D %R",
			} {
				if env[name] != want {
					t.Errorf("%s is %q, want %q", name, env[name], want)
				}
			}
			for _, name := range []string{"SLURM_SRUN_COMM_PORT", "SLURM_UMASK", "SLURM_NTASKS"} {
				if value, there := env[name]; there {
					t.Errorf("%s=%s reaches the server", name, value)
				}
			}
			closeReady(t, s)
		})
	}
}

// TestContainerSetup: --setup and --venv are the container's, and need no more than sh.
func TestContainerSetup(t *testing.T) {
	begin(t)
	mkdir(t, clusterHome(".edf"))
	dir := mkdir(t, clusterHome("venv"))
	mkdir(t, dir+"/bin")
	put(t, dir+"/bin/activate", "VIRTUAL_ENV=/srv/venv; export VIRTUAL_ENV; PATH=/srv/venv/bin:$PATH; export PATH\n", 0o644)
	edf(t, ".edf/mine.toml", inImage(bareImage, `base_environment = "venv"`))
	edf(t, ".edf/venv.toml", "mounts = [\"/home/alice/venv:/srv/venv\"]\n")
	s := contained(t, []string{"--environment", "mine", "--venv", "/srv/venv", "--setup", "FROM_SETUP='a b'; export FROM_SETUP"})
	env := serverEnv(t, s.ready().URL)
	if env["FROM_SETUP"] != "a b" {
		t.Errorf("FROM_SETUP is %q", env["FROM_SETUP"])
	}
	if want := "/srv/venv/bin:" + barePath; env["PATH"] != want {
		t.Errorf("PATH is %q, want %q", env["PATH"], want)
	}
	closeReady(t, s)
}

// TestContainerFails: the message names what keeps a container from its server.
func TestContainerFails(t *testing.T) {
	missing := inImage(debianImage) + "base_environment = \"base\"\n"
	for _, c := range []struct {
		name    string
		edfs    map[string]string
		flags   []string
		says    string
		granted bool // only the node can tell
	}{
		{"no-such-path", nil, []string{"--environment", "~/nosuch.toml"}, "nosuch.toml", false},
		{"no-such-name", nil, []string{"--environment", "nosuch"}, "nosuch", true},
		{"no-such-base", map[string]string{".edf/mine.toml": missing}, []string{"--environment", "mine"}, "base", true},
		{
			"no-such-mount", map[string]string{".edf/base.toml": "mounts = [\"/nosuch/data:/data\"]\n", ".edf/mine.toml": missing},
			[]string{"--environment", "mine"}, "/nosuch/data", true,
		},
		{"no-such-image", map[string]string{".edf/mine.toml": inImage("/nosuch/image")}, []string{"--environment", "mine"}, "/nosuch/image", true},
		{"no-such-workdir", map[string]string{".edf/mine.toml": inImage(bareImage)}, []string{"--environment", "mine", "--workdir", "/nosuch/dir"}, "/nosuch/dir", true},
		{"no-such-venv", map[string]string{".edf/mine.toml": inImage(bareImage)}, []string{"--environment", "mine", "--venv", "/nosuch/venv"}, "/nosuch/venv", true},
		{"no-such-command", map[string]string{".edf/mine.toml": inImage(bareImage)}, []string{"--environment", "mine", "--setup", "nosuch-tool"}, "nosuch-tool", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			mkdir(t, clusterHome(".edf"))
			for path, text := range c.edfs {
				edf(t, path, text)
			}
			s := contained(t, c.flags)
			e := s.failure(5, "server-setup")
			says(t, e.Message, c.says)
			if _, granted := s.find("granted"); granted != c.granted {
				t.Errorf("granted: %v", granted)
			}
			if left := aliceJobs(t); left != "" {
				t.Errorf("left in the queue: %s", left)
			}
		})
	}
}

// TestContainerJupyter: Jupyter needs no home directory.
func TestContainerJupyter(t *testing.T) {
	begin(t)
	mkdir(t, clusterHome(".edf"))
	edf(t, ".edf/mine.toml", "image = \""+debianImage+"\"\nmounts = [\""+lab.Env["LAB_VENV"]+":"+lab.Env["LAB_VENV"]+"\"]\n")
	s := cscs(t, "run-jupyter", "--environment", "mine", "--venv", lab.Env["LAB_VENV"])
	e := s.ready()
	if code, _ := get(t, serverURL(e)+"/api/contents?token="+jupyterToken(t)); code != http.StatusOK {
		t.Errorf("with the token: %d", code)
	}
	closeReady(t, s)
}
