//go:build unix

package e2e

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A world is a cluster on which the scenarios run, and what can be done to it by others
// than its user. There are two: the lab, with the real things, and the demo, which is held to
// it by the same table.
type world interface {
	begin(t *testing.T)                                                      // it is clean, and will be at the test's end
	cluster() string                                                         // its name
	command(ctx context.Context, words ...string) *exec.Cmd                  // cscs as the user calls it; VAR=VALUE words may come first
	server() string                                                          // the path of the test server there
	get(t *testing.T, url string, headers ...string) (code int, body string) // on the laptop; code 0: nothing answered
	jobs(t *testing.T) string                                                // the user's jobs that hold something, or wait to
	occupy(t *testing.T) (free func())                                       // all nodes, by another user
	cancel(t *testing.T, job string)                                         // scancel, by somebody else
	expire(t *testing.T, job string)                                         // the end of a time limit of one minute
	cut(t *testing.T)                                                        // the laptop's line
	heal(t *testing.T)                                                       // gives it back
	scratch(t *testing.T) string                                             // a directory on the laptop, for the length of the test
}

// run is cscs WORDS to its end, and what it printed.
func run(t *testing.T, words ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := here.command(ctx, words...).CombinedOutput()
	if err != nil {
		t.Fatalf("cscs %q: %v\n%s", words, err, out)
	}
	return string(out)
}

// asNavigation is what a browser says that is to show a page.
var asNavigation = []string{"Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}

// freePort is a local port that nobody has at the moment.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// scenarios are what happens to sessions, told as their user sees it.
var scenarios = []struct {
	name string
	play func(*testing.T)
}{
	{"ready-and-back", func(t *testing.T) {
		s := serve(t, nil)
		e := s.ready()
		reaches(t, e)
		if here.jobs(t) == "" {
			t.Error("the queue does not show the job of a session that is ready: it would not show one that is left")
		}
		s.leaveBy(syscall.SIGINT, 0)
		order := []string{"connecting", "connected", "connecting", "connected", "granted", "started", "ready", "ending", "ended"}
		if got := names(s.events()); !isSubsequence(order, got) {
			t.Errorf("events %v lack, in this order, %v", got, order)
		}
		if code, _ := here.get(t, e.URL); code != 0 {
			t.Errorf("the local port still answers, with %d", code)
		}
	}},
	{"queued-and-granted", func(t *testing.T) {
		free := here.occupy(t)
		s := serve(t, nil)
		q := s.wait("queued")
		says(t, q.Reason, "node")
		free()
		if g := s.wait("granted"); g.Job != q.Job {
			t.Errorf("queued as job %s, granted as %s", q.Job, g.Job)
		}
		reaches(t, s.ready())
		s.leaveBy(syscall.SIGINT, 0)
	}},
	{"waiting-room", func(t *testing.T) {
		free := here.occupy(t)
		port := freePort(t)
		s := serve(t, []string{"--local-port", port})
		q := s.wait("queued")
		url := "http://127.0.0.1:" + port + "/"
		code, page := here.get(t, url, asNavigation...)
		if code != http.StatusServiceUnavailable {
			t.Errorf("a browser gets %d", code)
		}
		_, page, _ = strings.Cut(page, "<main")
		says(t, page, "<h1>Waiting in the queue</h1>", "Job "+q.Job+" waits", q.Reason)
		free()
		e := s.ready()
		reaches(t, e)
		if code, page := here.get(t, url, asNavigation...); code != http.StatusOK || strings.Contains(page, "<h1>") {
			t.Errorf("a browser gets %d when it is ready: %s", code, page)
		}
		s.leaveBy(syscall.SIGINT, 0)
	}},
	{"queued-with-salloc", func(t *testing.T) {
		free := here.occupy(t)
		s := serve(t, []string{"--via", "salloc"})
		s.wait("queued")
		if out, err := here.command(t.Context(), "detach").CombinedOutput(); err == nil || !strings.Contains(string(out), "cannot be detached") {
			t.Errorf("it is left, though its request ends with it: %v: %s", err, out)
		}
		free()
		s.ready()
		s.leaveBy(syscall.SIGINT, 0)
	}},
	{"queued-for-too-long", func(t *testing.T) {
		here.occupy(t)
		s := serve(t, []string{"--queue-timeout", "3s"})
		q := s.wait("queued")
		says(t, s.failure(4, "queue-timeout").Message, q.Job)
	}},
	{"queued-and-cancelled-by-another", func(t *testing.T) {
		here.occupy(t)
		s := serve(t, nil)
		q := s.wait("queued")
		here.cancel(t, q.Job)
		says(t, s.failure(4, "job-ended").Message, "cancel")
	}},
	{"refused/partition", refused("slurm-refused", "invalid partition name specified", "--partition", "nosuch")},
	{"refused/partition-hint", func(t *testing.T) {
		says(t, serve(t, []string{"--partition", "debgu"}).failure(4, "slurm-refused").Hint, "--partition debug", "normal")
	}},
	{"refused/node", refused("slurm-refused", "invalid node name specified", "--nodelist", "nid999999")},
	{"refused/option", refused("slurm-refused", "unrecognized option", "--slurm=--nosuch=1")},
	{"never-starts", refused("never-starts", "PartitionTimeLimit", "--partition", "debug", "--time", "2:00:00")},
	{"partition-down", refused("queue-timeout", "partition", "--partition", "down", "--queue-timeout", "4s")},
	{"variables", func(t *testing.T) {
		s := cscs(t, "run", "--workdir", "$HOME", "--env", "WHERE=${HOME}/x", "--setup", `[ "$WHERE|$PWD" = "$HOME/x|$HOME" ]`,
			"--", "sh", "-c", `[ "$1$2" = "--dir=$HOME/y\$HOME z" ] && exec "$0" "127.0.0.1:$PORT"`, here.server(), "--dir=$HOME/y", "$HOME z")
		reaches(t, s.ready())
		s.leaveBy(syscall.SIGINT, 0)
	}},
	{"variable-not-set", func(t *testing.T) {
		s := serve(t, []string{"--workdir", "$NOSUCH/x"})
		e := s.failure(5, "server-setup")
		says(t, e.Message, "variable NOSUCH of --workdir is not set on ")
		if _, granted := s.find("granted"); granted {
			t.Error("a node was asked for")
		}
	}},
	{"interrupted/connecting", interrupted(130, func(t *testing.T) *session {
		here.cut(t)
		s := serve(t, nil)
		s.wait("connecting")
		return s
	})},
	{"interrupted/queued", interrupted(130, func(t *testing.T) *session {
		here.occupy(t)
		s := serve(t, nil)
		s.wait("queued")
		return s
	})},
	{"interrupted/starting", interrupted(130, func(t *testing.T) *session {
		s := cscs(t, "run", "--", "sleep", "600")
		s.wait("started")
		return s
	})},
	{"interrupted/ready", interrupted(0, func(t *testing.T) *session {
		s := serve(t, nil)
		s.ready()
		return s
	})},
	{"interrupted-twice", func(t *testing.T) {
		s := serve(t, nil, "-ignore-term")
		s.ready()
		began := time.Now()
		s.signal(syscall.SIGINT)
		s.wait("ending")
		s.leaveBy(syscall.SIGINT, 0)
		if d := time.Since(began); d > 8*time.Second {
			t.Errorf("the second Ctrl-C took %v: it waited for the server's grace", d)
		}
	}},
	{"server/exits-at-once", fails("server", "7", here0, "-exit", "7", "x")},
	{"server/exits-with-0", fails("server", "", here0, "-exit", "0", "x")},
	{"server/not-there", fails("server-setup", "/nosuch/server", "/nosuch/server")},
	{"server/setup-fails", func(t *testing.T) {
		says(t, serve(t, []string{"--setup", "false"}).failure(5, "server-setup").Message, "setup")
	}},
	{"server/never-listens", func(t *testing.T) {
		s := cscs(t, "run", "--start-timeout", "3s", "--", "sleep", "600")
		says(t, s.failure(5, "start-timeout").Message, "listen")
	}},
	{"server/starts-slowly", func(t *testing.T) {
		// It writes for longer than the start timeout.
		s := cscs(t, "run", "--start-timeout", "7s", "--", "bash", "-c",
			`for i in {1..16}; do echo "loading $i"; sleep 1; done; exec "$0" "127.0.0.1:$PORT"`, here.server())
		says(t, s.wait("warning", "ready").Message, "not ready after 7s", "log grows")
		s.ready()
		s.leaveBy(syscall.SIGINT, 0)
	}},
	{"server/ready-path", func(t *testing.T) {
		s := cscs(t, "run", "--ready", "/health", "--path", "shown?x=1", "--", here.server(), "-healthy-after", "3s", "127.0.0.1:{port}")
		r := s.ready()
		says(t, r.URL, "/shown?x=1")
		if code, body := here.get(t, strings.Replace(r.URL, "shown?x=1", "health", 1)); code != 200 {
			t.Errorf("ready although /health answers %d %s", code, body)
		}
		s.leaveBy(syscall.SIGINT, 0)
	}},
	{"server/ready-path-never", func(t *testing.T) {
		s := cscs(t, "run", "--start-timeout", "4s", "--ready", "/nosuch/page", "--", here.server(), "127.0.0.1:{port}")
		says(t, s.failure(5, "start-timeout").Message, "/nosuch/page", "200")
	}},
	{"server/listens-wide", fails("server-wide", "0.0.0.0", here0, "0.0.0.0:{port}")},
	{"server/ends-with-0", func(t *testing.T) {
		s := serve(t, nil)
		_, _ = here.get(t, s.ready().URL+"quit?code=0")
		says(t, s.end(0).Reason, "server")
	}},
	{"server/ends-with-3", func(t *testing.T) {
		s := serve(t, nil)
		_, _ = here.get(t, s.ready().URL+"quit?code=3")
		says(t, s.failure(5, "server").Message, "3")
	}},
	{"server/log", func(t *testing.T) {
		s := serve(t, nil)
		s.ready()
		says(t, run(t, "logs"), "testserver alice listens on 127.0.0.1:")
		s.leaveBy(syscall.SIGINT, 0)
	}},
	{"time-limit", func(t *testing.T) {
		s := serve(t, []string{"--time", "1"})
		s.ready()
		g, _ := s.find("granted")
		here.expire(t, g.Job)
		_ = s.exit(150 * time.Second)
		e := s.failure(4, "job-ended")
		says(t, e.Message, "time limit")
		says(t, e.Hint, "--time")
	}},
	{"cancelled-by-another", func(t *testing.T) {
		s := serve(t, nil)
		s.ready()
		g, _ := s.find("granted")
		here.cancel(t, g.Job)
		says(t, s.failure(4, "job-ended").Message, "cancel")
	}},
	{"stopped-from-elsewhere", func(t *testing.T) {
		s := serve(t, nil)
		id := s.ready().Session
		says(t, run(t, "ps"), id, "ready")
		out := run(t, "stop", "--all")
		says(t, out, id, "stopped")
		if strings.Contains(out, "elsewhere") {
			t.Errorf("it was stopped here: %s", out)
		}
		says(t, s.end(0).Reason, "stopped from elsewhere")
	}},
	{"detached-and-attached", func(t *testing.T) {
		first := serve(t, nil)
		ready := first.ready()
		says(t, run(t, "detach"), "detached", ready.Session)
		first.end(0)
		second := pickUp(t)
		again := second.ready()
		if again.Session != ready.Session || again.Remote != ready.Remote {
			t.Errorf("attached: %+v, begun: %+v", again, ready)
		}
		reaches(t, again)
		second.signal(syscall.SIGINT)
		says(t, second.end(0).Reason, "detached")
		if here.jobs(t) == "" {
			t.Error("the job is gone, though it was only left")
		}
		run(t, "stop", ready.Session)
	}},
	{"begun-detached", func(t *testing.T) {
		s := serve(t, []string{"--detach"})
		says(t, s.end(0).Reason, "detached")
		second := pickUp(t)
		reaches(t, second.ready())
		second.signal(syscall.SIGINT)
		second.end(0)
		run(t, "stop")
	}},
	{"stopped-while-it-is-left", func(t *testing.T) {
		s := serve(t, nil)
		id := s.ready().Session
		// Without a line, the process waits for the cluster while it leaves.
		here.cut(t)
		s.signal(syscall.SIGHUP)
		stop := start(t, here.command(context.Background(), "stop", id))
		says(t, s.end(0).Reason, "detached")
		here.heal(t)
		if code := stop.exit(patience); code != 0 {
			t.Errorf("cscs stop ended with %d: %s%s", code, stop.stdout, stop.stderr)
		}
		if left := here.jobs(t); left != "" {
			g, _ := s.find("granted")
			here.cancel(t, g.Job)
			t.Errorf("cscs stop has ended, and in the queue is: %s", left)
		}
	}},
	{"queued-and-detached", func(t *testing.T) {
		here.occupy(t)
		s := serve(t, nil)
		q := s.wait("queued")
		says(t, run(t, "detach"), "detached", q.Session)
		says(t, s.end(0).Reason, "detached")
		if here.jobs(t) == "" {
			t.Error("the job is gone, though it was only left")
		}
		says(t, run(t, "ps"), q.Session, "queued")
		run(t, "stop", q.Session)
	}},
	{"left-while-it-is-stopped", func(t *testing.T) {
		s := serve(t, nil, "-ignore-term")
		id := s.ready().Session
		stop := start(t, here.command(context.Background(), "stop", id))
		s.wait("ending")
		out, err := here.command(t.Context(), "detach", id).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("cscs detach of a session that is being stopped: %v: %s", err, out)
		}
		s.end(0)
		if code := stop.exit(patience); code != 0 {
			t.Errorf("cscs stop ended with %d: %s", code, stop.stderr)
		}
	}},
	{"two-laptops", func(t *testing.T) {
		first := serve(t, nil)
		ready := first.ready()
		second := &session{background: start(t, here.command(context.Background(), elsewhere(t), "attach", "--json", "--no-browser", ready.Session[:4], "--cluster", here.cluster()))}
		reaches(t, second.ready())
		first.leaveBy(syscall.SIGINT, 0)
		says(t, second.end(0).Reason, "stopped")
	}},
	{"connection-lost-and-back", func(t *testing.T) {
		s := serve(t, nil)
		e := s.ready()
		here.cut(t)
		s.wait("lost")
		here.heal(t)
		s.wait("restored")
		reaches(t, e)
		s.leaveBy(syscall.SIGINT, 0)
	}},
	{"printed-link", func(t *testing.T) {
		s := serve(t, nil)
		e := s.ready()
		if out := run(t, "open", "--no-browser"); strings.Contains(out, "key=") || !strings.Contains(out, e.URL) {
			t.Errorf("a pipe gets %q", out)
		}
		link := strings.TrimSpace(run(t, "open", "--print", e.Session))
		if !strings.HasPrefix(link, e.URL+".cscs/") || !strings.Contains(link, "key=") {
			t.Fatalf("the link is %q", link)
		}
		if code, body := here.get(t, link, "Accept: */*"); code != 200 && code != 303 {
			t.Errorf("it answers %d %s", code, body)
		}
		if code, body := here.get(t, link+"x"); code != 403 || !strings.Contains(body, "key") {
			t.Errorf("with another key: %d %s", code, body)
		}
		s.leaveBy(syscall.SIGINT, 0)
		if strings.Contains(s.stdout.String()+s.stderr.String(), "key=") {
			t.Error("the key is in the session's own output, which is no terminal")
		}
	}},
	{"strict-origin", func(t *testing.T) {
		s := serve(t, nil)
		base := strings.TrimSuffix(s.ready().URL, "/")
		if code, body := here.get(t, base+"/strict", "Origin: "+base); code != 200 {
			t.Errorf("a server that answers its own pages alone: %d %s", code, body)
		}
		s.leaveBy(syscall.SIGINT, 0)
	}},
	{"tunnel", func(t *testing.T) {
		s := serve(t, nil)
		e := s.ready()
		g, _ := s.find("granted")
		_, port, err := net.SplitHostPort(e.Remote)
		if err != nil {
			t.Fatal(err)
		}
		tunnel := cscs(t, "tunnel", "--job", g.Job, "--port", port)
		reaches(t, tunnel.ready())
		tunnel.signal(syscall.SIGINT)
		tunnel.end(0)
		reaches(t, e)
		s.leaveBy(syscall.SIGINT, 0)
	}},
	{"tunnel/only-job", func(t *testing.T) {
		s := serve(t, nil)
		e := s.ready()
		g, _ := s.find("granted")
		_, port, err := net.SplitHostPort(e.Remote)
		if err != nil {
			t.Fatal(err)
		}
		var tunnels []*session
		for _, where := range [][]string{nil, {"--node", g.Node}, {"--job", g.Job}} {
			tunnel := cscs(t, append([]string{"tunnel", "--port", port}, where...)...)
			reaches(t, tunnel.ready())
			tunnels = append(tunnels, tunnel)
		}
		here.cancel(t, g.Job)
		for _, tunnel := range tunnels { // each ends with the job
			says(t, tunnel.failure(4, "job-ended").Message, "job "+g.Job, "cancel")
		}
		s.failure(4, "job-ended")
	}},
	{"tunnel/no-job", func(t *testing.T) {
		e := cscs(t, "tunnel", "--port", "6006").failure(4, "no-job")
		says(t, e.Message, "no job of yours runs")
	}},
	{"tunnel/two-jobs", func(t *testing.T) {
		first, second := serve(t, nil), serve(t, nil)
		first.ready()
		second.ready()
		a, _ := first.find("granted")
		b, _ := second.find("granted")
		e := cscs(t, "tunnel", "--port", "6006").failure(2, "which-job")
		says(t, e.Message, a.Job, a.Node, b.Job, b.Node)
		says(t, e.Hint, "--job")
		first.leaveBy(syscall.SIGINT, 0)
		second.leaveBy(syscall.SIGINT, 0)
	}},
}

// TestScenario plays each of them.
func TestScenario(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			here.begin(t)
			s.play(t)
			if left := here.jobs(t); left != "" {
				t.Errorf("cscs has ended, and in the queue is: %s", left)
			}
		})
	}
}

// here0 stands for the test server in a command.
const here0 = "{server}"

// reaches fails the test unless the session's URL leads to the test server.
func reaches(t *testing.T, ready event) {
	t.Helper()
	if code, body := here.get(t, ready.URL); code != 200 || !strings.HasPrefix(body, "alice") {
		t.Errorf("GET %s: %d %s", ready.URL, code, body)
	}
}

// leaveBy ends the session by a signal, with that exit code.
func (s *session) leaveBy(sig syscall.Signal, code int) {
	s.t.Helper()
	s.signal(sig)
	s.end(code)
}

// refused is a request that gets no node.
func refused(problem, words string, flags ...string) func(*testing.T) {
	return func(t *testing.T) {
		s := serve(t, flags)
		says(t, s.failure(4, problem).Message, words)
		if _, granted := s.find("granted"); granted {
			t.Error("granted, and yet refused")
		}
	}
}

// interrupted is a session that is ended where to leaves it.
func interrupted(code int, to func(*testing.T) *session) func(*testing.T) {
	return func(t *testing.T) {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			t.Run(sig.String(), func(t *testing.T) {
				here.begin(t)
				to(t).leaveBy(sig, code)
				if left := here.jobs(t); left != "" {
					t.Errorf("cscs has ended, and in the queue is: %s", left)
				}
			})
		}
	}
}

// fails is a server that there is never anything to reach of.
func fails(problem, words string, command ...string) func(*testing.T) {
	return func(t *testing.T) {
		all := []string{"run", "--"}
		for _, w := range command {
			all = append(all, strings.ReplaceAll(w, here0, here.server()))
		}
		e := cscs(t, all...).failure(5, problem)
		says(t, e.Message+" "+e.Hint, words)
	}
}

// pickUp attaches to the one session that there is.
func pickUp(t *testing.T) *session {
	t.Helper()
	return &session{background: start(t, here.command(context.Background(), "attach", "--json", "--no-browser"))}
}

// elsewhere is the environment of a second laptop of the user's: the same keys, no records.
func elsewhere(t *testing.T) string { return "XDG_STATE_HOME=" + here.scratch(t) }
