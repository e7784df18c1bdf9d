package slurm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// server is a small web server, which says what it sees.
const server = `
import http.server, os, sys
print("hello from", os.getcwd(), flush=True)
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind=sys.argv[2])
`

func serverArgv(bind string) []string {
	return []string{"python3", "-c", server, "{port}", bind}
}

func TestWholeLife(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Request: Request{Time: "10"}, Launch: Launch{
		Argv:  serverArgv("127.0.0.1"),
		Env:   map[string]string{"GREETING": "it's {port}\n\"quoted\" $HOME", "KEYFILE": "{dir}/token"},
		Files: map[string][]byte{"token": []byte("s3cret")},
		Setup: []string{`printf '%s|' "$GREETING" "$KEYFILE" "$(cat "$KEYFILE")" "$CSCS_SESSION"`},
		Grace: 5 * time.Second,
	}})
	if h := await[Hello](r); h.Dir != filepath.Join(f.Home, ".cscs", "fake", id) {
		t.Errorf("session directory %q", h.Dir)
	}
	g := await[Granted](r)
	want := JobInfo{ID: "4711", State: "RUNNING", Partition: "normal", Account: "csstaff", Nodes: []string{"nid001001"}, Begins: time.Unix(1700000000, 0), Ends: time.Unix(1700003600, 0)}
	if diff := cmp.Diff(want, g.Job); diff != "" {
		t.Errorf("granted (-want +got):\n%s", diff)
	}
	a := await[Alive](r)
	if a.Job != "4711" || a.Step != "0" || a.Node != "nid001001" {
		t.Errorf("alive: %+v", a)
	}
	l := await[Listening](r)
	if !strings.HasPrefix(l.Addr, "127.0.0.1:") || l.Bound != l.Addr {
		t.Errorf("listening: %+v", l)
	}
	res, err := http.Get("http://" + l.Addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	modes(t, filepath.Join(f.Home, ".cscs"))
	// No secret is on the command line of any process, nor in the events (invariant I6).
	if n := f.Running("s3cret"); n > 0 || f.Running("remote.sh run") == 0 {
		t.Errorf("%d processes have the secret on their command lines", n)
	}
	if events := readAll(t, filepath.Join(f.Home, ".cscs", "fake", id, "events")); strings.Contains(events, "s3cret") || !strings.Contains(events, "listening\t") {
		t.Errorf("events:\n%s", events)
	}

	r.letGo()
	r.wait()
	if r.err != nil {
		t.Errorf("Submit: %v", r.err)
	}
	log, exited := stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 5 * time.Second})
	if exited == nil || exited.Reason != "asked" {
		t.Errorf("exited: %+v", exited)
	}
	_, port, _ := strings.Cut(l.Addr, ":")
	wantLog := "it's " + port + "\n\"quoted\" $HOME|" + f.Home + "/.cscs/fake/" + id + "/token|s3cret|" + id + "|hello from " + f.Home
	if !strings.Contains(log, wantLog) {
		t.Errorf("log:\n%s\nwants:\n%s", log, wantLog)
	}
	if _, err := http.Get("http://" + l.Addr + "/"); err == nil {
		t.Error("the server still answers")
	}
	if calls := f.Calls(); strings.Contains(calls, "SQUEUE_FORMAT") || strings.Contains(calls, "s3cret") {
		t.Errorf("calls of Slurm's commands:\n%s", calls)
	}
	if n := strings.Count(f.Calls(), "\n") - 1; n > 9 { // one is the imitation's, for the batch script
		t.Errorf("%d calls of Slurm's commands:\n%s", n, f.Calls())
	}
}

// modes checks that nothing below dir is for others to read.
func modes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A recordingCluster keeps the commands that it runs.
type recordingCluster struct {
	*slurmtest.Cluster
	mu       sync.Mutex
	commands []string
}

func (s *recordingCluster) Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	s.mu.Lock()
	s.commands = append(s.commands, command)
	s.mu.Unlock()
	return s.Cluster.Exec(ctx, command, stdin, stdout, stderr)
}

// The command line on the login node is the same for every session and every verb: what a session
// is, and what it keeps secret, travels by standard input alone (invariant I6).
func TestCommandLineIsConstant(t *testing.T) {
	t.Parallel()
	s := &recordingCluster{Cluster: slurmtest.New(t)}
	for _, id := range []string{"aaaa2222", "bbbb3333"} {
		sub := &Submission{ID: id, Launch: Launch{
			Argv: []string{"sh", "-c", "exit 3", "s3cret" + id}, Env: map[string]string{"KEY": "s3cret" + id}, Files: map[string][]byte{"token": []byte("s3cret" + id)},
		}}
		if _, err := sub.Submit(t.Context(), s, func(Event) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := FindRunner(t.Context(), s, id); err != nil {
			t.Fatal(err)
		}
		if _, _, err := List(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if _, err := Stop(t.Context(), s, Stopping{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.commands) != 8 {
		t.Errorf("%d commands", len(s.commands))
	}
	for _, c := range s.commands {
		if c != s.commands[0] || strings.Contains(c, "s3cret") {
			t.Errorf("the command %q, and %q", c, s.commands[0])
		}
	}
}

func TestQueueThenWithdraw(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_REASON=Priority", "FAKE_START=1700000100")
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	if p := await[Pending](r); p.Job != "4711" {
		t.Errorf("pending: %+v", p)
	}
	want := Queued{Job: "4711", State: "PENDING", Reason: "Priority", Explained: "other jobs come first", Start: time.Unix(1700000100, 0)}
	if diff := cmp.Diff(want, await[Queued](r)); diff != "" {
		t.Errorf("queued (-want +got):\n%s", diff)
	}
	r.letGo()
	r.wait()
	if r.err != nil || !r.outcome.Withdrawn {
		t.Errorf("outcome %+v, %v", r.outcome, r.err)
	}
	if jobs := f.Jobs(); len(jobs) > 0 {
		t.Errorf("jobs left: %v", jobs)
	}
	stopFake(t, f, Stopping{ID: testID(t)})
}

// A client that vanishes while the job is pending leaves nothing in the queue.
func TestQueueThenConnectionLost(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := submit(ctx, t, f, &Submission{ID: testID(t), Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	await[Pending](r)
	cancel()
	r.wait()
	if jobs := f.Jobs(); len(jobs) > 0 {
		t.Errorf("jobs left: %v", jobs)
	}
}

func TestQueueThenGranted(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	await[Queued](r)
	f.Free()
	await[Listening](r)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: testID(t), Step: "4711.0", Grace: 5 * time.Second})
}

func TestNeverStarts(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_REASON=PartitionTimeLimit")
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	r.wait()
	var never *NeverStartsError
	if !errors.As(r.err, &never) || never.Reason != "PartitionTimeLimit" {
		t.Errorf("error %v", r.err)
	}
	stopFake(t, f, Stopping{ID: testID(t)})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ salloc, want string }{
		{"salloc: error: Job submit/allocate failed: Invalid partition name specified", "Invalid partition name specified"},
		{"salloc: error: Unable to allocate resources: Requested node configuration is not available", "Requested node configuration is not available"},
		{`salloc: unrecognized option '--uenv=x'\nTry "salloc --help" for more information`, "unrecognized option '--uenv=x'"},
		{"salloc: error: Invalid --time specification", "Invalid --time specification"},
	} {
		f := slurmtest.New(t, "FAKE_REFUSE="+c.salloc)
		r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}}})
		r.wait()
		var refused *RefusedError
		if !errors.As(r.err, &refused) || refused.Message != c.want {
			t.Errorf("%s: error %v", c.salloc, r.err)
		}
		if left, _ := filepath.Glob(filepath.Join(f.Home, ".cscs")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// TestRefusedOffer: where a partition, a number of nodes or memory may be wrong, what there is comes with
// the refusal, by one more question to Slurm; else nothing is asked.
func TestRefusedOffer(t *testing.T) {
	t.Parallel()
	offer := `FAKE_SINFO=normal*|up|1-00:00:00|3|8000+\ndebug|up|30:00|2|8000\nold|down|1:00|9|1\nodd|up|x|many|y\n`
	for words, want := range map[string]bool{
		"Job submit/allocate failed: Invalid partition name specified":              true,
		"Job submit/allocate failed: Node count specification invalid":              true,
		"Memory specification can not be satisfied":                                 true,
		"Job submit/allocate failed: Requested node configuration is not available": true,
		"Invalid --time specification":                                              false,
		"Job submit/allocate failed: Invalid qos specification":                     false,
	} {
		f := slurmtest.New(t, "FAKE_REFUSE=salloc: error: "+words, offer)
		r := submit(t.Context(), t, f, &Submission{ID: testID(t), Request: Request{Partition: "nromal"}, Launch: Launch{Argv: []string{"true"}}})
		r.wait()
		var refused *RefusedError
		if !errors.As(r.err, &refused) || refused.Request.Partition != "nromal" {
			t.Errorf("%s: error %v", words, r.err)
			continue
		}
		var all []Partition
		if want {
			all = []Partition{
				{Name: "normal", Default: true, Up: true, Limit: "1-00:00:00", Nodes: 3, Memory: 8000},
				{Name: "debug", Up: true, Limit: "30:00", Nodes: 2, Memory: 8000},
				{Name: "old", Limit: "1:00", Nodes: 9, Memory: 1},
			}
		}
		if diff := cmp.Diff(all, refused.Partitions); diff != "" {
			t.Errorf("%s: %s", words, diff)
		}
		if n := strings.Count(f.Calls(), "sinfo "); n != map[bool]int{true: 1}[want] {
			t.Errorf("%s: sinfo was asked %d times", words, n)
		}
	}
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_REASON=PartitionNodeLimit", offer)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Request: Request{Nodes: "99"}, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	r.wait()
	var never *NeverStartsError
	if !errors.As(r.err, &never) || len(never.Partitions) != 3 || never.Request.Nodes != "99" {
		t.Errorf("error %+v", r.err)
	}
	stopFake(t, f, Stopping{ID: id})
}

func TestStepFails(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_SRUN_FAILS=Unable to create step for job 4711: Invalid generic resource (gres) specification")
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}}})
	r.wait()
	var step *StepError
	if !errors.As(r.err, &step) || !strings.Contains(step.Message, "Invalid generic resource") {
		t.Errorf("error %v", r.err)
	}
	stopFake(t, f, Stopping{ID: testID(t)})
}

// slurmctld has begun anew between the grant and the step: srun waits in vain, and the next
// one does not.
func TestStepWaits(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_SRUN_WAITS=1")
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	await[Listening](r)
	if n := strings.Count(f.Calls(), "srun "); n != 2 {
		t.Errorf("%d calls of srun:\n%s", n, f.Calls())
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: testID(t), Step: "4711.0", Grace: 5 * time.Second})
}

// TestStepBesideARestart: srun does not reach slurmctld, which restarts in that moment: it is run again.
func TestStepBesideARestart(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	instead(t, f, "srun", `mkdir "$FAKE/refused" 2>/dev/null || exec "$real" "$@"
echo "srun: error: Unable to confirm allocation for job 4711: Connection reset by peer" >&2
exit 1`)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	await[Listening](r)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 5 * time.Second})
}

// Servers that end, or do not do as they should.
func TestServers(t *testing.T) {
	notPython := func(argv ...string) Launch { return Launch{Argv: argv, Grace: time.Second} }
	for name, c := range map[string]struct {
		launch  Launch
		want    string // in Outcome.Err's text; "": nil
		wantLog string
	}{
		"exits at once with 0": {notPython("true"), "ended with status 0 before it listened", ""},
		"exits at once with 3": {notPython("sh", "-c", "echo oops; exit 3"), "ended with status 3 before it listened", "oops\n"},
		"killed":               {notPython("sh", "-c", "kill -9 $$"), "killed by SIGKILL", ""},
		"not there":            {notPython("no-such-command"), "no-such-command was not found on", ""},
		"not executable":       {notPython("/etc/passwd"), "was not found", ""},
		"no workdir":           {Launch{Argv: serverArgv("127.0.0.1"), Workdir: "/no/such"}, "the work directory /no/such does not exist", ""},
		"no venv":              {Launch{Argv: serverArgv("127.0.0.1"), Venv: "~/venv"}, "no virtual environment in", ""},
		"setup fails":          {Launch{Argv: serverArgv("127.0.0.1"), Setup: []string{"false"}}, `--setup "false" ended with status 1`, ""},
		"setup not there":      {Launch{Argv: serverArgv("127.0.0.1"), Setup: []string{"conda activate x"}}, `of --setup "conda activate x" was not found`, ""},
		"status 255":           {notPython("sh", "-c", "exit 255"), "ended with status 255 before it listened", ""},
		"wide":                 {Launch{Argv: serverArgv("0.0.0.0"), Grace: time.Second}, "the server listens on 0.0.0.0 port", "hello"},
		"wide in IPv6":         {Launch{Argv: serverArgv("::"), Grace: time.Second}, "the server listens on :: port", "hello"},
		"ends after it served": {notPython("python3", "-c", "import socket,sys\ns=socket.create_server(('127.0.0.1',int(sys.argv[1])))\ns.settimeout(0.5)\ntry: s.accept()\nexcept TimeoutError: pass", "{port}"), "", ""},
		"binary in the log":    {notPython("sh", "-c", `printf '\000\377\033[31mred'; exit 1`), "status 1", "\x00\xff\x1b[31mred"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t)
			id := testID(t)
			r := submit(t.Context(), t, f, &Submission{ID: id, Launch: c.launch})
			r.wait()
			if r.err != nil {
				t.Fatal(r.err)
			}
			err := r.outcome.Err()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("outcome %+v %+v: %v", r.outcome, r.outcome.Exited, err)
			}
			log, _ := stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: time.Second})
			if !strings.Contains(log, c.wantLog) {
				t.Errorf("log %q", log)
			}
		})
	}
}

// A job whose client has gone ends with its lease, and not before.
func TestLeaseRunsOut(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := submit(ctx, t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}, Lease: 3 * time.Second})
	l := await[Listening](r)
	owned := time.Now()
	for time.Since(owned) < 5*time.Second { // longer than the lease
		getOK(t, l.Addr)
	}
	cancel()
	r.wait()
	lost := time.Now()
	waittest.Until(t, 10*time.Second, "the end of the job", func() bool { return len(f.Jobs()) == 0 })
	if d := time.Since(lost); d < 2*time.Second {
		t.Errorf("the job ended %v after its client", d)
	}
	log, _ := stopFake(t, f, Stopping{ID: id})
	if !strings.Contains(log, "hello") {
		t.Errorf("log %q", log)
	}
}

// Slurm does not answer in the moment in which the lease has run out: the runner, the
// only one that is left, asks again until it does.
func TestLeaseRunsOutAndSlurmBusy(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := submit(ctx, t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}, Lease: time.Second})
	await[Listening](r)
	f.Busy(true)
	cancel()
	r.wait()
	waittest.Until(t, 10*time.Second, "a scancel", func() bool { return f.Called("scancel") })
	f.Busy(false)
	waittest.Until(t, 10*time.Second, "the end of the job", func() bool { return len(f.Jobs()) == 0 })
	if log, exited := stopFake(t, f, Stopping{ID: id}); !strings.Contains(log, "hello") || exited != nil {
		t.Errorf("log %q, exited %v", log, exited)
	}
}

// The client goes while its request waits and Slurm does not answer: the request is taken
// back when it does.
func TestConnectionLostAndSlurmBusy(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := submit(ctx, t, f, &Submission{ID: testID(t), Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	await[Pending](r)
	f.Busy(true)
	cancel()
	// As often as for somebody who waits for the answer, and once more.
	waittest.Until(t, 30*time.Second, "more tries", func() bool { return strings.Count(f.Calls(), "scancel ") > 7 })
	f.Busy(false)
	waittest.Until(t, 15*time.Second, "the end of the job", func() bool { return len(f.Jobs()) == 0 })
	r.wait()
}

// A deaf Remote has no ears any more once the request is pending: the first that the
// remote half notices of its client's end is that nobody reads.
type deaf struct {
	*slurmtest.Cluster
	pending func()
}

func (d deaf) Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	return d.Cluster.Exec(ctx, command, stdin, ear{stdout, d.pending}, stderr)
}

type ear struct {
	io.Writer
	pending func()
}

func (e ear) Write(p []byte) (int, error) {
	n, err := e.Writer.Write(p)
	if strings.Contains(string(p), "pending\t") {
		e.pending()
		return 0, io.ErrClosedPipe
	}
	return n, err
}

// The client dies in the moment in which the job is granted: to be told of that is
// nobody there. The job is not left without a guard.
func TestClientGoneAsGranted(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	s := &Submission{ID: testID(t), Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}, Lease: time.Second}
	go func() {
		defer close(done)
		_, _ = s.Submit(ctx, deaf{f, f.Free}, func(Event) error { return nil })
	}()
	waittest.Until(t, 10*time.Second, "the grant", func() bool { return strings.Contains(f.Calls(), "show job") })
	cancel()
	waittest.Until(t, 15*time.Second, "the end of the job", func() bool { return len(f.Jobs()) == 0 })
	<-done
}

// A client that is silent though its connection stands loses its place in the queue, if that is
// salloc's.
func TestSilentWhileQueued(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	v := new(vars)
	v.setValue("cscs_via", "salloc")
	v.setValue("cscs_id", testID(t))
	v.setValue("cscs_lease", "1")
	stdin, never := io.Pipe()
	defer never.Close()
	c := call{verb: "submit", vars: v, stdin: stdin}
	s := Submission{}
	c.handle = func(l line) error { return s.handleLine(l, func(Event) error { return nil }) }
	if err := c.run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if jobs := f.Jobs(); len(jobs) > 0 {
		t.Errorf("jobs left: %v", jobs)
	}
	// To a client that comes to itself again this is no end as it should be.
	var ended *JobEndedError
	if err := s.outcome.Err(); !errors.As(err, &ended) || ended.Job != "4711" {
		t.Errorf("the outcome is %v", err)
	}
}

// On a loaded host the end of a line comes later than its beginning: an order in two parts is one order.
func TestOrderInParts(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	v := new(vars)
	id := testID(t)
	v.setValue("cscs_via", "sbatch")
	v.setValue("cscs_id", id)
	v.setList("cscs_argv", serverArgv("127.0.0.1"))
	stdin, client := io.Pipe()
	defer client.Close()
	say := func(text string) {
		if _, err := io.WriteString(client, text); err != nil {
			t.Error(err)
		}
	}
	c := call{verb: "submit", vars: v, stdin: stdin}
	s := Submission{}
	c.handle = func(l line) error {
		return s.handleLine(l, func(e Event) error {
			if _, ok := e.(Listening); ok {
				go func() {
					say("det")
					waittest.SpendRealTime(3 * time.Second) // longer than any pause of follow's
					say("ach\n")
				}()
			}
			return nil
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.run(ctx, f); err != nil || !s.outcome.Detached {
		t.Errorf("ended with %+v, %v", s.outcome, err)
	}
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// salloc is killed while the request waits: Slurm would keep it, nobody's.
func TestSallocKilled(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	await[Pending](r)
	if f.Kill("bin/salloc ") == 0 { // a command that it starts has its command line until its exec
		t.Fatal("killed no salloc")
	}
	r.wait()
	if n := strings.Count(f.Calls(), "salloc "); n != 1 {
		t.Errorf("%d requests", n)
	}
	var refused *RefusedError
	if !errors.As(r.err, &refused) || refused.Unsure {
		t.Errorf("ended with %#v", r.err)
	}
	if jobs := f.Jobs(); len(jobs) > 0 {
		t.Errorf("jobs left: %v", jobs)
	}
}

// The same, and Slurm does not let the job be cancelled: then it is not claimed to be gone.
func TestSallocKilledAndSlurmBusy(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_NO_CANCEL=1")
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	await[Pending](r)
	f.Kill("bin/salloc ")
	r.wait()
	var refused *RefusedError
	if !errors.As(r.err, &refused) || !refused.Unsure {
		t.Errorf("ended with %#v", r.err)
	}
}

func getOK(t *testing.T, addr string) {
	t.Helper()
	res, err := http.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// A port that the user chose and that is taken is told before the server starts.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	ln := listenLocal(t)
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: serverArgv("127.0.0.1"), Port: ln}})
	r.wait()
	err := r.outcome.Err()
	if err == nil || !strings.Contains(err.Error(), "is taken by your process") {
		t.Errorf("error %v", err)
	}
	stopFake(t, f, Stopping{ID: testID(t)})
}

// A server that puts itself into the background is served, and ends with its session.
func TestDaemon(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{
		Argv:  []string{"sh", "-c", `setsid "$@" & exit 0`, "sh", "python3", "-c", "import time\ntime.sleep(1.5)\n" + server, "{port}", "127.0.0.1"},
		Grace: time.Second,
	}})
	l := await[Listening](r)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 3 * time.Second})
	if _, err := http.Get("http://" + l.Addr + "/"); err == nil {
		t.Error("the daemon still answers")
	}
}

// A server that does not hear SIGTERM is killed after its grace.
func TestStubborn(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{
		Argv:  []string{"python3", "-c", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + server, "{port}", "127.0.0.1"},
		Grace: time.Second,
	}})
	l := await[Listening](r)
	r.letGo()
	r.wait()
	_, exited := stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: time.Second})
	if exited == nil || !strings.Contains(exited.Message, "did not end within 1 s") {
		t.Errorf("exited %+v", exited)
	}
	if _, err := http.Get("http://" + l.Addr + "/"); err == nil {
		t.Error("the server still answers")
	}
}

// What start-up files print does not disturb; if they end the shell, that is told.
func TestStartupFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rc, want string }{
		{"echo welcome; printf 'no newline at the end'", ""},
		{"echo welcome; exit 1", "the login shell ended before it ran our command"},
	} {
		f := slurmtest.New(t, "SHLVL=0")
		if err := os.WriteFile(filepath.Join(f.Home, ".bashrc"), []byte(c.rc+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}}})
		r.wait()
		var remote *RemoteError
		if c.want == "" && r.err != nil || c.want != "" && (!errors.As(r.err, &remote) || remote.Message != c.want || !strings.Contains(remote.Output, "welcome")) {
			t.Errorf("%s: error %v", c.rc, r.err)
		}
	}
}

// A profile that ends the login shell on the node is named, not the server; before anything is asked for, unless
// only the node can tell.
func TestProfileEndsShell(t *testing.T) {
	t.Parallel()
	for profile, early := range map[string]bool{
		"echo going; exit 4":                   true,
		"[[ -z ${SLURM_JOB_ID:-} ]] || exit 4": false,
	} {
		f := slurmtest.New(t)
		if err := os.WriteFile(filepath.Join(f.Home, ".bash_profile"), []byte(profile+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}}})
		r.wait()
		err := r.err
		var shell *LoginShellError
		var server *ServerError
		switch {
		case early && (!errors.As(err, &shell) || shell.Status != 4 || f.Requested()):
			t.Errorf("%s: error %v, calls:\n%s", profile, err, f.Calls())
		case !early:
			err = r.outcome.Err()
			if !errors.As(err, &server) || server.Reason != "shell" || !strings.Contains(err.Error(), "ended with status 4 in its start-up files") {
				t.Errorf("%s: error %v", profile, err)
			}
			stopFake(t, f, Stopping{ID: testID(t)})
		}
	}
}

// TestProfileHangs: one that holds it up is told while it does.
func TestProfileHangs(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	profile := "while [[ ! -e ~/go ]]; do sleep 0.05; done\n"
	if err := os.WriteFile(filepath.Join(f.Home, ".bash_profile"), []byte(profile), 0o600); err != nil {
		t.Fatal(err)
	}
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"sleep", "600"}}})
	started := await[Started](r)
	if err := await[Unlaunched](r).Err; err.Host != started.Node || err.Status != -1 || err.After != 8*time.Second {
		t.Errorf("error %+v", err)
	}
	if err := os.WriteFile(filepath.Join(f.Home, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	await[Launched](r)
	stopFake(t, f, Stopping{ID: testID(t)})
}

// What srun or slurmstepd reports of a step that cannot run is the error of the session.
func TestStepArgsRefused(t *testing.T) {
	t.Parallel()
	for uenv, want := range map[string]string{
		"nosuch": "uenv: no uenv matches 'nosuch'; Invalid --uenv argument: nosuch",
		"gone":   "uenv: cannot mount /gone; Failed to invoke spank plugin stack",
	} {
		t.Run(uenv, func(t *testing.T) {
			f := slurmtest.New(t)
			r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}, Step: []string{"--uenv=" + uenv}}})
			r.wait()
			if err := r.outcome.Err(); err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
			stopFake(t, f, Stopping{ID: testID(t)})
		})
	}
}

// The home directory cannot be written to.
func TestHomeNotWritable(t *testing.T) {
	f := slurmtest.New(t)
	f.Setenv("HOME=/proc")
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}}})
	r.wait()
	var remote *RemoteError
	if !errors.As(r.err, &remote) || remote.Kind != "home" {
		t.Errorf("error %v", r.err)
	}
	if f.Requested() {
		t.Error("an allocation was asked for")
	}
}

// A flood is cut to the newest part and slows nobody else down.
func TestFlood(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{
		Argv: []string{"sh", "-c", "head -c 100000000 /dev/zero; echo the end; exit 2"},
	}})
	r.wait()
	log, _ := stopFake(t, f, Stopping{ID: id})
	if len(log) > 64<<20 || !strings.HasSuffix(log, "the end\n") {
		t.Errorf("log of %d bytes", len(log))
	}
}

// A log that the client could not store stays with what tells how the session ended, for the next client.
// Secrets go.
func TestStopKeepsLogThatWasNotStored(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: []string{"sh", "-c", "echo precious; exit 2"},
		Files: map[string][]byte{"token": []byte("s3cret"), "session.json": []byte(`{"lease":3600}` + "\n")}}})
	r.wait()
	dir := filepath.Join(f.Home, ".cscs", "fake", id)
	var failed *LogError
	if _, err := Stop(t.Context(), f, Stopping{ID: id, Log: failingWriter{}}); !errors.As(err, &failed) || failed.Path != dir+"/log" {
		t.Errorf("error %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if diff := cmp.Diff([]string{"events", "lease", "log", "mark", "session.json"}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	var log bytes.Buffer
	if err := Log(t.Context(), f, id, 0, 0, &log); err != nil || log.String() != "precious\n" {
		t.Errorf("logs: %q, %v", log.String(), err)
	}
	if log, _ := stopFake(t, f, Stopping{ID: id}); log != "precious\n" {
		t.Errorf("the second stop stores %q", log)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("its directory is there")
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// What is missing on the login node already is told before a node is asked for.
func TestMissingPlaces(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	for name, c := range map[string]struct {
		launch Launch
		says   string
	}{
		"workdir":          {Launch{Workdir: "nosuch/dir"}, "the work directory nosuch/dir does not exist on "},
		"workdir of home":  {Launch{Workdir: "~/nosuch"}, "the work directory ~/nosuch does not exist on "},
		"venv":             {Launch{Venv: f.Home + "/v"}, "there is no virtual environment in " + f.Home + "/v "},
		"venv, not a venv": {Launch{Venv: "~"}, "there is no virtual environment in ~ "},
	} {
		t.Run(name, func(t *testing.T) {
			c.launch.Argv = serverArgv("127.0.0.1")
			r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: c.launch})
			r.wait()
			var bad *ServerError
			if err := r.outcome.Err(); r.err != nil || !errors.As(err, &bad) || bad.Reason != "setup" || !strings.Contains(bad.Message, c.says) {
				t.Errorf("outcome %v, %v", err, r.err)
			}
			if f.Requested() {
				t.Error("a node was asked for")
			}
			if left, _ := os.ReadDir(filepath.Join(f.Home, ".cscs")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// A path may lie in a file system that only the nodes have: that is for the node to say.
func TestPlacesOfTheNode(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"/nodelocal/x", "/opt/nosuch/x", "/var/nosuch", "/tmp/nosuch/x"} {
		t.Run(dir, func(t *testing.T) {
			f := slurmtest.New(t)
			r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: serverArgv("127.0.0.1"), Workdir: dir}})
			r.wait()
			var bad *ServerError
			if err := r.outcome.Err(); !errors.As(err, &bad) || !strings.Contains(bad.Message, dir+" does not exist on ") || !f.Requested() {
				t.Errorf("outcome %v, %v", err, r.err)
			}
		})
	}
}
