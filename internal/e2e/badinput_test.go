//go:build lab

package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// plainly runs cscs without --json, with no terminal, to its end, and gives
// what it told the user.
func plainly(t *testing.T, words ...string) (code int, told string) {
	t.Helper()
	var env []string
	for strings.Contains(words[0], "=") {
		env, words = append(env, words[0]), words[1:]
	}
	argv := append(append(env, lab.bin), words...)
	b := start(t, as(t.Context(), "alice", "laptop", argv...))
	code = b.exit(patience)
	if out := b.stdout.String(); out != "" {
		t.Errorf("stdout is for the result alone (I10): %q", out)
	}
	return code, b.stderr.String()
}

// TestBadInput: each gets one clear line and the right exit code, and nothing
// is allocated.
func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		name  string
		code  int
		words []string
		says  []string
	}{
		{"unknown-cluster", 2, []string{"run", "--cluster", "dait", "--", "x"}, []string{"dait", "daint"}},
		{"no-command", 2, []string{"run", "--cluster", "daint"}, []string{"command"}},
		{"no-command-after-dashes", 2, []string{"run", "--cluster", "daint", "--"}, []string{"command"}},
		{"port-0", 2, []string{"run", "--cluster", "daint", "--port", "0", "--", "x"}, []string{"port", "0"}},
		{"port-70000", 2, []string{"run", "--cluster", "daint", "--port", "70000", "--", "x"}, []string{"70000"}},
		{"port-abc", 2, []string{"run", "--cluster", "daint", "--port", "abc", "--", "x"}, []string{"abc"}},
		{"local-port-0", 2, []string{"run", "--cluster", "daint", "--local-port", "0", "--", "x"}, []string{"port", "0"}},
		{"local-port-70000", 2, []string{"run", "--cluster", "daint", "--local-port", "70000", "--", "x"}, []string{"70000"}},
		{"tunnel-port-missing", 2, []string{"tunnel", "--cluster", "daint", "--node", "nid001001"}, []string{"port"}},
		{"tunnel-both-targets", 2, []string{"tunnel", "--cluster", "daint", "--node", "nid001001", "--job", "1", "--port", "6006"}, []string{"node", "job"}},
		{"time", 2, []string{"run", "--cluster", "daint", "--time", "soon", "--", "x"}, []string{"soon"}},
		{"time-empty", 2, []string{"run", "--cluster", "daint", "--time", "", "--", "x"}, []string{"time"}},
		{"nodes", 2, []string{"run", "--cluster", "daint", "--nodes", "0", "--", "x"}, []string{"nodes"}},
		{"flag", 2, []string{"run", "--cluster", "daint", "--nosuchflag", "--", "x"}, []string{"--nosuchflag"}},
		{"command", 2, []string{"rum-jupyter"}, []string{"rum-jupyter", "run-jupyter"}},
		{"env", 2, []string{"run", "--cluster", "daint", "--env", "NOEQUALS", "--", "x"}, []string{"NOEQUALS"}},
		{"env-name", 2, []string{"run", "--cluster", "daint", "--env", "A B=c", "--", "x"}, []string{"A B"}},
		{"identity-missing", 2, []string{"run", "--cluster", "daint", "--identity", "/home/alice/nosuchkey", "--", "x"}, []string{"/home/alice/nosuchkey"}},
		{"workdir-missing", 5, []string{"run", "--cluster", "daint", "--workdir", "nosuchdir", "--", "x"}, []string{"nosuchdir"}},
		{"venv-missing", 5, []string{"run", "--cluster", "daint", "--venv", "nosuchvenv", "--", "x"}, []string{"nosuchvenv"}},
		{"slurm-option-newline", 2, []string{"run", "--cluster", "daint", "--slurm=--comment=a\nb", "--", "x"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			unallocated(t)
			code, told := plainly(t, c.words...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			says(t, told, c.says...)
			oneProblem(t, told)
		})
	}
}

// oneProblem holds what was told to the form: a line of a problem, not a page
// of usage, no Go type or package, no stack.
func oneProblem(t *testing.T, told string) {
	t.Helper()
	if told == "" {
		t.Error("nothing was told")
	}
	if n := strings.Count(told, "\n"); n > 8 {
		t.Errorf("%d lines:\n%s", n, told)
	}
	for _, word := range []string{"goroutine ", "panic", ".go:", "errors.", "%!", "<nil>"} {
		if strings.Contains(told, word) {
			t.Errorf("%q in %q", word, told)
		}
	}
	t.Log(told)
}

// TestBadHosts: the way is not there.
func TestBadHosts(t *testing.T) {
	for _, c := range []struct{ name, config, says string }{
		{"unresolvable", "Host ela\nHostName nowhere.invalid\nHost *\nUser alice\n", "nowhere.invalid"},
		{"nobody-listens", "Host ela\nHostName 127.0.0.1\nPort 9\nHost *\nUser alice\n", "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			unallocated(t)
			put(t, laptopHome(".ssh/config"), c.config+"Host daint\nHostName daint.alps.cscs.ch\nProxyJump ela\n", 0o600)
			code, told := plainly(t, "run", "--cluster", "daint", "--", "x")
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			says(t, told, c.says)
			oneProblem(t, told)
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		begin(t)
		unallocated(t)
		cut(t)
		s := cscs(t, plainRun...)
		says(t, s.failure(1, "timeout").Message, "ela")
	})
	t.Run("sshd-down", func(t *testing.T) {
		begin(t)
		unallocated(t)
		t.Cleanup(func() { tell(t, "start-service", "daint", "sshd") })
		tell(t, "stop-service", "daint", "sshd")
		s := cscs(t, plainRun...)
		says(t, s.failure(1, "hop-refused").Message, "daint")
	})
}

// TestBadLoginShell: start-up files that keep the server from being run are blamed, not it; before anything is
// requested, if that is known by then.
func TestBadLoginShell(t *testing.T) {
	for _, c := range []struct {
		text string
		code int
		says []string
		hint string
	}{
		{"exit 3\n", 1, []string{"ended with status 3", "~/.bash_profile line 1: exit 3"}, "[[ $- == *i* ]] || return"},
		{"[[ -z $SLURM_JOB_ID ]] || exit 3\n", 5, []string{"ended with status 3"}, "[[ $- == *i* ]] || return"},
		{"sleep 1000\n", 5, []string{"its login shell", "start-up files"}, "[[ $- == *i* ]] || return"},
	} {
		begin(t)
		put(t, clusterHome(".bash_profile"), c.text, 0o644)
		s := cscs(t, "run", "--start-timeout", "10s", "--", "sleep", "600")
		e := s.failure(c.code, "login-shell")
		says(t, e.Message, c.says...)
		says(t, e.Hint, "~/.bash_profile", c.hint)
		if _, told := s.find("warning"); told != (c.text == "sleep 1000\n") {
			t.Errorf("%q: told of it meanwhile: %v", c.text, told)
		}
		if _, asked := s.find("granted"); asked != (c.code == 5) {
			t.Errorf("%q: asked for a job: %v", c.text, asked)
		}
	}
}

// TestBadShell: what alice's own start files do on the cluster.
func TestBadShell(t *testing.T) {
	works := []struct{ name, file, text string }{
		{"bashrc-prints", ".bashrc", "echo 'Welcome to daint'; echo 'Quota: 99%' >&2\n"},
		{"profile-prints", ".bash_profile", "echo 'Welcome to daint'; printf 'no newline'\n"},
		{"profile-prints-much", ".bash_profile", "for i in {1..5000}; do echo \"line $i of the message of the day\"; done\n"},
		{"profile-asks", ".bash_profile", "read -p 'Which project? ' project\n"},
		{"profile-fails-on-the-way", ".bash_profile", "false; nosuchcommand; cd /nosuch\n"},
		{"profile-sets-e", ".bash_profile", "set -eu\n"},
		{"bashrc-traps", ".bashrc", "trap 'echo bye' EXIT\nPS1=x\nalias salloc='echo no' squeue='echo no'\nstty -echo\n"},
	}
	for _, c := range works {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			put(t, clusterHome(c.file), c.text, 0o644)
			s := serve(t, nil)
			s.ready()
			closeReady(t, s)
		})
	}
	for _, c := range []struct{ name, file, text string }{
		{"bashrc-exits-1", ".bashrc", "echo 'your project has ended' >&2; exit 1\n"},
		{"bashrc-exits-0", ".bashrc", "exit 0\n"},
		{"bashrc-execs", ".bashrc", "exec /bin/true\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			unallocated(t)
			put(t, clusterHome(c.file), c.text, 0o644)
			s := cscs(t, plainRun...)
			e := s.failure(1, "remote-shell")
			says(t, e.Message+" "+e.Hint, "daint", "shell")
		})
	}
}

// TestBadHome: the home directory on the cluster is full, or read-only.
func TestBadHome(t *testing.T) {
	t.Run("full", func(t *testing.T) {
		begin(t)
		unallocated(t)
		t.Cleanup(func() { tell(t, "fill-home", "off") })
		tell(t, "fill-home", "on")
		s := cscs(t, plainRun...)
		says(t, s.failure(1, "remote-home").Message, "no space left")
	})
	// Its log comes home without a copy there, and nothing stays.
	t.Run("full-in-the-end", func(t *testing.T) {
		begin(t)
		s := serve(t, nil)
		s.ready()
		t.Cleanup(func() { tell(t, "fill-home", "off") })
		tell(t, "fill-home", "on")
		began := time.Now()
		s.signal(syscall.SIGINT)
		s.end(0)
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("the end took %v", d)
		}
		says(t, lastLog(t), "listens")
	})
	t.Run("read-only", func(t *testing.T) {
		begin(t)
		unallocated(t)
		t.Cleanup(func() { tell(t, "readonly-home", "off") })
		tell(t, "readonly-home", "on")
		s := cscs(t, plainRun...)
		says(t, s.failure(1, "remote-home").Message, "read-only")
	})
	t.Run("not-alices", func(t *testing.T) {
		begin(t)
		unallocated(t)
		t.Cleanup(func() { _ = os.Remove(clusterHome(".cscs")) })
		write(t, clusterHome(".cscs"), "a file")
		s := cscs(t, plainRun...)
		says(t, s.failure(1, "remote-nodir").Message, ".cscs")
	})
}

// TestBadConfig: a configuration that does not parse, with its place.
func TestBadConfig(t *testing.T) {
	for _, c := range []struct {
		name, text string
		at         string
	}{
		{"syntax", "default_cluster = \"daint\"\n[clusters.mine\n", ":2:"},
		{"unknown-key", "default_cluster = \"daint\"\nclutser = \"x\"\n", ":2:"},
		{"wrong-type", "default_cluster = 7\n", ":1:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			unallocated(t)
			_ = os.MkdirAll(laptopHome(".config/cscs"), 0o755)
			put(t, laptopHome(".config/cscs/config.toml"), c.text, 0o644)
			code, told := plainly(t, "run", "--", "x")
			if code != 2 {
				t.Errorf("exit code %d", code)
			}
			says(t, told, "config.toml"+c.at)
			oneProblem(t, told)
		})
	}
}

// TestBadInputWithJSON: with --json, too, a wrong use is no event stream that
// breaks off: the exit code and a line on stderr tell it.
func TestBadInputWithJSON(t *testing.T) {
	begin(t)
	unallocated(t)
	b := start(t, as(t.Context(), "alice", "laptop", lab.bin, "run", "--json", "--cluster", "dait", "--", "x"))
	if code := b.exit(patience); code != 2 {
		t.Errorf("exit code %d", code)
	}
	if _, err := parseEvents(b.stdout.String()); err != nil {
		t.Error(err)
	}
	says(t, b.stdout.String()+b.stderr.String(), "daint")
}

// TestBadInputIsQuick: what needs no network asks none.
func TestBadInputIsQuick(t *testing.T) {
	begin(t)
	cut(t)
	began := time.Now()
	if code, _ := plainly(t, "run", "--cluster", "daint", "--port", "70000", "--", "x"); code != 2 {
		t.Errorf("exit code %d", code)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Error(fmt.Sprint("it took ", d))
	}
}
