package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// home gives the test a HOME with a signed key and this ~/.ssh/config.
func home(t *testing.T, sshConfig string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, ".ssh", "config")
	known := filepath.Join(dir, ".ssh", "known_hosts")
	if err := os.WriteFile(file, []byte(sshConfig+"\nHost *\nUserKnownHostsFile "+known+"\nGlobalKnownHostsFile none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"HOME": dir, "USERPROFILE": dir, "CSCS_SSH_CONFIG": file, "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "", "SSH_AUTH_SOCK": "", "CSCS_CONFIG": "", "CSCS_SITE_CONFIG": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	if err := newKey(filepath.Join(dir, ".ssh", "cscs-key"), "alice", time.Hour, ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

// a captured is what a command line handed to the session.
type captured struct {
	run    *session.Config
	tunnel *session.TunnelConfig
	out    string
	err    string
	code   int
}

// capture executes a command line with a session that does nothing but return result.
func capture(t *testing.T, result error, args ...string) captured {
	t.Helper()
	var c captured
	var out, errs bytes.Buffer
	d := &deps{
		io: &ui.IO{Out: &out, Err: &errs},
		run: func(_ context.Context, cfg session.Config, _ func(session.Event)) error {
			c.run = &cfg
			return result
		},
		tunnel: func(_ context.Context, cfg session.TunnelConfig, _ func(session.Event)) error {
			c.tunnel = &cfg
			return result
		},
	}
	c.code = runCommandLine(t.Context(), args, d)
	c.out, c.err = out.String(), errs.String()
	return c
}

// TestValuesStayValues: no value of a flag becomes another option of Slurm's, and no word of
// --slurm takes one of cscs's for its value.
func TestValuesStayValues(t *testing.T) {
	home(t, "")
	for _, flag := range []string{"time", "account", "partition", "qos", "nodes", "nodelist", "gpus", "mem", "constraint", "reservation", "uenv", "view", "environment"} {
		for _, value := range []string{"-W", "--array=1-3", "1\n--array=1-3", "1\r", "1\t2", "\x1b[1m", ""} {
			c := capture(t, nil, "run", "-c", "daint", "--"+flag, value, "--", "x")
			if c.code != 2 || c.run != nil {
				t.Errorf("--%s %q: exit code %d", flag, value, c.code)
			}
		}
		c := capture(t, nil, "run", "-c", "daint", "--"+flag, "1 --array=1-3", "--", "x")
		if c.run == nil {
			continue // it is refused
		}
		words := append(c.run.Request.Args(), c.run.Launch.Step...)
		if e := c.run.Launch.Environment; e != "" { // the step gets an EDF of the session's, which names this one
			words = append(words, "--environment="+e)
		}
		if diff := cmp.Diff([]string{"--" + flag + "=1 --array=1-3"}, words); diff != "" {
			t.Errorf("--%s (-want +got):\n%s", flag, diff)
		}
	}
}

func TestFlagsBecomeASession(t *testing.T) {
	dir := home(t, "")
	c := capture(t, nil, "run", "-c", "daint", "--port", "7000", "--local-port", "9000", "--no-browser",
		"-t", "1-0", "-A", "g1", "-p", "debug", "-q", "high", "-N", "2-4", "-w", "nid[1-2]", "-G", "gh200:4", "--mem", "10G", "-C", "gpu",
		"--reservation", "course", "--slurm=--exclusive", "--slurm=--repo=/r", "--slurm=-n2", "--slurm=--no-default-view",
		"--setup", "module load x", "--setup", "true", "--venv", "~/v", "--workdir", "w", "--env", "A=b=c", "--env", "B=",
		"--uenv", "u", "--view", "v", "--environment", "e", "--via", "sbatch", "--queue-timeout", "1m", "--start-timeout", "90s", "--idle", "90m", "--allow-wide-bind", "--forward-new",
		"--", "serve", "{port}")
	if c.code != 0 || c.run == nil {
		t.Fatalf("exit code %d: %s", c.code, c.err)
	}
	got := *c.run
	want := slurm.Request{Time: "1-0", Account: "g1", Partition: "debug", QOS: "high", Nodes: "2-4", Nodelist: "nid[1-2]", GPUs: "gh200:4",
		Mem: "10G", Constraint: "gpu", Reservation: "course", Extra: []string{"--exclusive", "-n2"}, Via: slurm.ViaSbatch}
	if diff := cmp.Diff(want, got.Request); diff != "" {
		t.Error(diff)
	}
	launch := slurm.Launch{Setup: []string{"module load x", "true"}, Venv: "~/v", Workdir: "w", Env: map[string]string{"A": "b=c", "B": ""},
		Step: []string{"--uenv=u", "--view=v", "--repo=/r", "--no-default-view"}, Environment: "e", AllowWideBind: true, ForwardNew: true}
	if diff := cmp.Diff(launch, got.Launch); diff != "" {
		t.Error(diff)
	}
	if got.Protect == nil || !*got.Protect {
		t.Error("a server without a login that cscs has set up is not protected")
	}
	if got.LocalPort != 9000 || got.App.Port != 7000 || got.QueueTimeout != time.Minute || got.StartTimeout != 90*time.Second || got.Idle != 90*time.Minute || got.Open != nil ||
		got.Cluster != "daint" || len(got.ID) != 8 || got.Grace == nil || got.Abandon == nil || got.Explain == nil {
		t.Errorf("got %+v", got)
	}
	if want := filepath.Join(dir, ".local", "state", "cscs"); got.LogDir != want {
		t.Errorf("log in %s, want %s", got.LogDir, want)
	}
	if diff := cmp.Diff([]string{"serve", "{port}"}, got.App.Argv); diff != "" {
		t.Error(diff)
	}
	var hops []string
	for _, h := range got.Hops {
		hops = append(hops, h.Name+" "+h.User+"@"+h.Addr)
	}
	if diff := cmp.Diff([]string{"ela alice@ela.cscs.ch:22", "daint alice@daint.alps.cscs.ch:22"}, hops); diff != "" {
		t.Error(diff)
	}
	node := got.NodeHop("nid001001", chain.PinnedKeys())
	if node.Addr != "nid001001:22" || node.User != "alice" || node.Signer != got.Hops[1].Signer {
		t.Errorf("the node's hop is %+v", node)
	}
}

// What has no login that cscs has set up is protected, unless the user says otherwise, wherever that is said.
func TestProtect(t *testing.T) {
	dir := home(t, "")
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte("[clusters.daint]\nprotect = true\n[clusters.eiger]\nprotect = false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CSCS_CONFIG", file)
	for _, tt := range []struct {
		line, env string
		want      bool
	}{
		{"run-tensorboard -c santis --logdir x", "", true},
		{"run-tensorboard -c santis --logdir x --protect=false", "", false},
		{"run-tensorboard -c santis --logdir x", "0", false},
		{"run-tensorboard -c eiger --logdir x", "", false},
		{"run-tensorboard -c eiger --logdir x", "1", true},
		{"run-jupyter -c santis", "", false},
		{"run-jupyter -c santis --protect", "", true},
		{"run-jupyter -c daint", "", true},
		{"run -c santis -- python3 -m http.server {port}", "", true},
		{"run -c santis -- serve {port}", "", true},
		{"run -c santis -- uv run panel serve x.py", "", true},
		{"run -c santis -- sh -c serve", "", true},
		{"run -c santis --protect=false -- serve {port}", "", false},
		{"run -c eiger -- serve {port}", "", false},
		{"run -c eiger -- serve {port}", "auto", true},
		{"run-jupyter -c daint --protect=auto", "", false},
	} {
		t.Setenv("CSCS_PROTECT", tt.env)
		c := capture(t, nil, strings.Fields(tt.line)...)
		if c.run == nil || c.run.Room == nil || c.run.Protect == nil || *c.run.Protect != tt.want {
			t.Errorf("CSCS_PROTECT=%s cscs %s: %+v %s", tt.env, tt.line, c.run, c.err)
		}
	}
	t.Setenv("CSCS_PROTECT", "")
	for flag, want := range map[string]bool{"": true, "--protect": true, "--protect=false": false} {
		line := slices.DeleteFunc([]string{"tunnel", "-c", "santis", "--node", "nid001001", "--port", "1", flag}, func(s string) bool { return s == "" })
		if c := capture(t, nil, line...); c.tunnel == nil || c.tunnel.Protect == nil || *c.tunnel.Protect != want {
			t.Errorf("a tunnel %s: %+v %s", flag, c.tunnel, c.err)
		}
	}
	if c := capture(t, nil, "run-jupyter", "-c", "santis", "--protect=maybe"); c.code != 2 {
		t.Errorf("exit code %d: %s", c.code, c.err)
	}
}

// The page that shows how to start again has no value of a variable in it.
func TestCommandAgain(t *testing.T) {
	for line, want := range map[string]string{
		"run-jupyter -c daint":                             "cscs run-jupyter -c daint",
		"run --env A=secret --env=B=secret -- x --env C=d": "cscs run --env 'A=…' '--env=B=…' -- x --env C=d",
		"run --env A= -- 127.0.0.1:{port}":                 "cscs run --env A= -- '127.0.0.1:{port}'",
	} {
		if got := commandAgain(strings.Fields(line)); got != want {
			t.Errorf("%s: %s", line, got)
		}
	}
}

func TestDefaultsOfASession(t *testing.T) {
	home(t, "")
	c := capture(t, nil, "run-jupyter", "-c", "daint", "--no-browser")
	if c.code != 0 {
		t.Fatal(c.err)
	}
	if diff := cmp.Diff(slurm.Request{}, c.run.Request); diff != "" {
		t.Errorf("what was left out is not left to the site: %s", diff)
	}
	if c.run.QueueTimeout != 12*time.Hour || c.run.StartTimeout != 5*time.Minute || c.run.Idle != 0 || c.run.LocalPort != 0 || c.run.App.Port != 0 {
		t.Errorf("got %+v", c.run)
	}
}

func TestTunnelOfFlags(t *testing.T) {
	home(t, "Host daint\nHostName daint.alps.cscs.ch\nAddressFamily inet\nHost ela\nHostName ela.cscs.ch\nAddressFamily inet\nConnectTimeout 7")
	t.Setenv("CSCS_PORT", "6006") // what is required may come from the environment
	c := capture(t, nil, "tunnel", "-c", "daint", "--node", "nid006554", "--no-browser")
	if c.code != 0 || c.tunnel == nil {
		t.Fatalf("exit code %d: %s", c.code, c.err)
	}
	if got := *c.tunnel; got.Node != "nid006554" || got.Port != 6006 || got.Chain.Network != "tcp4" || got.Chain.Timeout != 7*time.Second {
		t.Errorf("got %+v", got)
	}
}

// Errors of a session have been told by its events: only the exit code is left to say.
func TestExitCodeOfASession(t *testing.T) {
	home(t, "")
	for _, tt := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{&slurm.RefusedError{}, 4},
		{&slurm.ServerError{}, 5},
		{&session.TeardownError{Err: errors.New("x")}, 6},
		{session.ErrInterrupted, 130},
	} {
		c := capture(t, tt.err, "run", "-c", "daint", "--no-browser", "--", "x")
		if c.code != tt.code || c.err != "" || c.out != "" {
			t.Errorf("%v: exit code %d, want %d; told %q, %q", tt.err, c.code, tt.code, c.out, c.err)
		}
	}
}

func TestHostKeyPolicy(t *testing.T) {
	for _, tt := range []struct{ strict, want string }{
		{"yes", "refused"}, {"accept-new", "accepted"}, {"no", "accepted"},
	} {
		home(t, "Host ela\nHostName ela.cscs.ch\nStrictHostKeyChecking "+tt.strict)
		c := capture(t, nil, "run", "-c", "daint", "--no-browser", "--", "x")
		if c.code != 0 {
			t.Fatal(c.err)
		}
		hop := c.run.Hops[0]
		err := hop.HostKeys.Check(t.Context(), "ela.cscs.ch", nil, hop.Signer.PublicKey())
		var refused *chain.HostKeyError
		got := map[bool]string{true: "accepted", false: "refused"}[err == nil]
		if got != tt.want || err != nil && (!errors.As(err, &refused) || refused.Kind != chain.HostKeyUnknown) {
			t.Errorf("StrictHostKeyChecking %s: %s, %v", tt.strict, got, err)
		}
		// What was accepted is remembered: another key of the host is refused, whatever ssh's
		// configuration says.
		if err == nil {
			other := newKeyOf(t)
			if err := hop.HostKeys.Check(t.Context(), "ela.cscs.ch", nil, other); !errors.As(err, &refused) || refused.Kind != chain.HostKeyChanged {
				t.Errorf("StrictHostKeyChecking %s, another key: %v", tt.strict, err)
			}
		}
	}
}

func newKeyOf(t *testing.T) ssh.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRecordOfARun: the record is there while the session lives, and goes with it; it stays
// where a job may be left, or was left on purpose.
func TestRecordOfARun(t *testing.T) {
	for _, tt := range []struct {
		name  string
		event string // that the session emits last
		err   error
		state string // of the record afterwards; empty: there is none
	}{
		{"ended", session.EventReady, nil, ""},
		{"failed", session.EventReady, &slurm.ServerError{}, ""},
		{"left", session.EventEnding, &session.TeardownError{Job: "7", Err: errors.New("x")}, registry.Left},
		{"detached", session.EventDetached, nil, registry.Detached},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := home(t, "")
			store := registry.Open(filepath.Join(dir, ".local", "state", "cscs"))
			id := ""
			d := &deps{
				io: &ui.IO{Out: new(bytes.Buffer), Err: new(bytes.Buffer)},
				run: func(_ context.Context, cfg session.Config, emit func(session.Event)) error {
					id = cfg.ID
					if all, err := store.List(); err != nil || len(all) != 1 || all[0].ID != id || !all[0].Attended {
						t.Errorf("while it lives: %+v, %v", all, err)
					}
					code := 4
					emit(session.Event{Event: session.EventGranted, Job: "7", Partition: "debug"})
					emit(session.Event{Event: tt.event})
					if tt.event != session.EventDetached && tt.state == "" {
						emit(session.Event{Event: session.EventEnded, Reason: "job 7 reached its time limit", Code: &code, Time: time.Now()})
					}
					return tt.err
				},
			}
			runCommandLine(t.Context(), []string{"run", "-c", "daint", "--no-browser", "--", "x"}, d)
			if id == "" {
				t.Fatal("no session was begun")
			}
			all, err := store.List()
			if err != nil || (len(all) > 0) != (tt.state != "") || tt.state != "" && (all[0].ID != id || all[0].State != tt.state || all[0].Attended) {
				t.Errorf("afterwards: %+v, %v", all, err)
			}
			ended := store.Ended(time.Now())
			if (len(ended) == 1) != (tt.state == "") || len(ended) > 0 && (ended[0].ID != id || ended[0].Job != "7" || ended[0].Partition != "debug" ||
				ended[0].App != "run" || ended[0].Cluster != "daint" || *ended[0].Code != 4 || !strings.Contains(ended[0].Reason, "time limit")) {
				t.Errorf("noted as ended: %+v", ended)
			}
			if left, err := filepath.Glob(filepath.Join(store.Dir(), "*.sock")); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

// The reason of an error of the remote half is told with the place.
func TestExplain(t *testing.T) {
	home(t, "")
	c := capture(t, nil, "run", "-c", "daint", "--no-browser", "--", "x")
	x := c.run.Explain(&slurm.RemoteError{Kind: "shell", Message: "the login shell ended"})
	if !strings.HasPrefix(x.Message, "daint: ") || x.Code != 1 {
		t.Errorf("got %+v", x)
	}
}
