package slurm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// putSession makes the directory of a session as submit does, with its mark, and a lease
// of an hour that was renewed that long ago.
func putSession(t *testing.T, f *slurmtest.Cluster, id string, renewed time.Duration) string {
	t.Helper()
	dir := filepath.Join(f.Home, ".cscs", "fake", id)
	putFiles(t, dir, map[string]string{
		"mark":         "cscs " + id + "\n",
		"session.json": `{"lease":3600}` + "\n",
		"lease":        "0000000007 " + strconv.Itoa(int(time.Now().Add(-renewed).Unix())) + "\n",
		"events":       "",
	})
	for _, parent := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
		putFiles(t, parent, map[string]string{".made-by-cscs": ""})
	}
	return dir
}

func putFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// putJob submits a job of the user's own.
func putJob(t *testing.T, f *slurmtest.Cluster, name string) {
	t.Helper()
	before := len(f.Jobs())
	var out strings.Builder
	if err := f.Exec(t.Context(), "sbatch --job-name='"+name+"' --wrap='sleep 100'", strings.NewReader(""), &out, &out); err != nil {
		t.Fatalf("sbatch: %v: %s", err, out.String())
	}
	if n := len(f.Jobs()); n != before+1 {
		t.Fatalf("the queue had %d jobs and has %d", before, n)
	}
}

// A job of the user's may have a session's very name: from within a session, or when the session is
// over. Only the job whose number is the session's is cancelled (invariant I11).
func TestStopSparesNamesakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files map[string]string // that record the first job
		know  string            // the number that the client knows
		own   bool              // the directory is the session's
		left  []string
	}{
		{"asked by sbatch", map[string]string{"batch": "4711\n"}, "", true, []string{"4712"}},
		{"asked by salloc", map[string]string{"salloc": "4711\n"}, "", true, []string{"4712"}},
		{"its runner has said so", map[string]string{"events": "alive\tjob=4711\tstep=0\tnode=nid001001\tpid=1\n"}, "", true, []string{"4712"}},
		{"the number was lost on the way", map[string]string{"asking": "elsewhere 1\n"}, "", true, nil},
		{"the number was lost on the way, and its runner has said so", map[string]string{"asking": "elsewhere 1\n", "runner": "4711\n",
			"events": "alive\tjob=4711\tstep=0\tnode=nid001001\tpid=1\n"}, "", true, []string{"4712"}},
		{"the directory is away, and the client knows", nil, "4711", false, []string{"4712"}},
		{"the session is over", nil, "", false, []string{"4711", "4712"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := slurmtest.New(t, "FAKE_QUEUE=1")
			id := testID(t)
			if c.own {
				putFiles(t, putSession(t, f, id, 0), c.files)
			}
			putJob(t, f, JobName(id))
			putJob(t, f, JobName(id))
			if _, err := Stop(t.Context(), f, Stopping{ID: id, Job: c.know, Step: AnyStep}); err != nil {
				t.Error(err)
			}
			if left := f.Jobs(); !slices.Equal(left, c.left) {
				t.Errorf("left in the queue: %q, want %q", left, c.left)
			}
		})
	}
}

// The user's own jobs and directories stay what they are, whatever their names (invariant I11):
// a session is a directory that has the mark, and a job of its name.
func TestForeignNames(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	ours := testID(t)
	putSession(t, f, ours, 0)
	base := filepath.Join(f.Home, ".cscs", "fake")
	text := map[string]string{"events": "x\n", "lease": "0000000001 1\n", "session.json": `{"lease":60}` + "\n", "notes": "mine\n"}
	// A directory with the name of a session, without the mark; with another one's mark; a link.
	foreign := []string{filepath.Join(f.Home, "precious"), filepath.Join(base, "abcdefgh"), filepath.Join(base, "copyyyyy"), filepath.Join(base, "results")}
	for _, dir := range foreign {
		putFiles(t, dir, text)
	}
	putFiles(t, foreign[2], map[string]string{"mark": "cscs " + ours + "\n"})
	putFiles(t, foreign[0], map[string]string{"mark": "cscs linkkkkk\n"})
	if err := os.Symlink(foreign[0], filepath.Join(base, "linkkkkk")); err != nil {
		t.Fatal(err)
	}
	names := []string{"cscs-", "cscs-mytraining", "cscs-abcdefgh", "cscs-../../precious", "cscs-ABCDEFGH", "x|" + JobName(ours), JobName(ours) + "|RUNNING", "*"}
	for _, name := range names {
		putJob(t, f, name)
	}

	found, swept, err := List(t.Context(), f)
	if err != nil || len(swept) > 0 {
		t.Fatalf("swept %v, error %v", swept, err)
	}
	if len(found) != 1 || found[0].ID != ours || found[0].Job != "" {
		t.Errorf("listed as sessions: %+v", found)
	}
	r := submit(t.Context(), t, f, &Submission{ID: "newwwwww", Launch: Launch{Argv: []string{"true"}}})
	await[Queued](r)
	r.letGo()
	r.wait()
	for _, id := range []string{"abcdefgh", "copyyyyy", "linkkkkk", ours} {
		if _, err := Stop(t.Context(), f, Stopping{ID: id, Step: AnyStep, Grace: time.Second}); err != nil {
			t.Errorf("stop %s: %v", id, err)
		}
	}
	if n := len(f.Jobs()); n != len(names) {
		t.Errorf("%d jobs are left of %d:\n%s", n, len(names), f.Calls())
	}
	for _, dir := range foreign {
		for name, want := range text {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
				t.Errorf("%s/%s: %q, %v", dir, name, got, err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(base, ours)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the session's own directory: %v", err)
	}
}

// The remote part refuses what is not an ID in every verb, before it becomes a path or a name.
func TestForeignIDs(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	precious := filepath.Join(f.Home, "precious")
	putFiles(t, precious, map[string]string{"mark": "cscs precious\n", "thesis": "all of it\n"})
	for _, id := range []string{"../../precious", "precious/", ".", "..", "abcdefg", "abcdefghi", "ABCDEFGH", "abcdefg1", "abc\ndefg", "$(kill 0)", "-abcdefg", "äbcdefg"} {
		for _, verb := range []string{"submit", "follow", "stop", "log", "find", "look", "enter"} {
			v := new(vars)
			v.setValue("cscs_id", id)
			var remote *RemoteError
			if err := (call{verb: verb, vars: v}).run(t.Context(), f); !errors.As(err, &remote) || remote.Kind != "protocol" {
				t.Errorf("%s of %q: %v", verb, id, err)
			}
		}
	}
	if text := readAll(t, filepath.Join(precious, "thesis")); text != "all of it\n" {
		t.Errorf("the user's file: %q", text)
	}
	if f.Requested() || f.Called("scancel") {
		t.Errorf("calls:\n%s", f.Calls())
	}
}

// A directory that is there already is not taken over.
func TestSubmitTakesNothingOver(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	dir := filepath.Join(f.Home, ".cscs", "fake", id)
	putFiles(t, dir, map[string]string{"log": "mine\n"})
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: []string{"true"}}})
	r.wait()
	var remote *RemoteError
	if !errors.As(r.err, &remote) || remote.Kind != "home" || !remote.BeforeRequest() {
		t.Errorf("ended with %v", r.err)
	}
	if text := readAll(t, filepath.Join(dir, "log")); text != "mine\n" || f.Requested() {
		t.Errorf("the file: %q; calls:\n%s", text, f.Calls())
	}
}

// A request that was left on purpose waits for longer than its lease; neither a list nor
// another session ends it. One that was left without a word ends, and so does its directory.
func TestLeftRequestIsNotStale(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"list", "another session"} {
		for _, left := range []bool{true, false} {
			t.Run(by+map[bool]string{true: ", detached", false: ", killed"}[left], func(t *testing.T) {
				t.Parallel()
				f := slurmtest.New(t, "FAKE_QUEUE=1")
				id := testID(t)
				s := &Submission{ID: id, Request: Request{Via: ViaSbatch, Left: true}, Lease: time.Hour,
					Launch: Launch{Argv: serverArgv("127.0.0.1"), Files: map[string][]byte{"session.json": []byte(`{"lease":3600}` + "\n")}}}
				r := submit(t.Context(), t, f, s)
				await[Queued](r)
				if left {
					s.Detach()
				} else {
					f.KillLogin()
				}
				r.wait()
				if r.outcome.Detached != left {
					t.Fatalf("%+v %v", r.outcome, r.err)
				}
				file := filepath.Join(f.Home, ".cscs", "fake", id, "lease")
				value, _, _ := strings.Cut(readAll(t, file), " ")
				if err := os.WriteFile(file, []byte(value+" "+strconv.Itoa(int(time.Now().Add(-2*time.Hour).Unix()))+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				jobs := f.Jobs()
				swept := false
				if by == "list" {
					_, gone, err := List(t.Context(), f)
					if err != nil {
						t.Fatal(err)
					}
					swept = len(gone) == 1 && gone[0].ID == id
				} else {
					next := submit(t.Context(), t, f, &Submission{ID: testID(t)[:7] + "z", Launch: Launch{Argv: serverArgv("127.0.0.1")}})
					for {
						e, ok := <-next.events
						if !ok {
							t.Fatalf("the other session ended with %v", next.err)
						}
						if gone, is := e.(Swept); is && gone.ID == id {
							swept = true
						}
						if _, is := e.(Pending); is {
							break
						}
					}
				}
				if kept := slices.Contains(f.Jobs(), jobs[0]); kept != left || swept == left {
					t.Errorf("swept: %v, in the queue: %v; calls:\n%s", swept, kept, f.Calls())
				}
			})
		}
	}
}

// Slurm takes a request after sbatch has given up: it is taken up, and salloc is not asked again.
func TestSbatchAnswersLate(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_ANSWER_LATE=2")
	id := testID(t)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	r := submit(ctx, t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
	await[Pending](r)
	f.Free()
	servesInOneJob(t, f, r, id)
	if n := strings.Count(f.Calls(), "salloc "); n != 1 {
		t.Errorf("%d calls of salloc:\n%s", n, f.Calls())
	}
}

// servesInOneJob waits until the server listens, and ends the session, which never had another job.
func servesInOneJob(t *testing.T, f *slurmtest.Cluster, r *run, id string) {
	t.Helper()
	await[Listening](r)
	r.letGo()
	r.wait()
	if two := f.Twice(); two != "" || len(f.Jobs()) != 1 {
		t.Errorf("jobs %v, beside each other %q; calls:\n%s", f.Jobs(), two, f.Calls())
	}
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// Slurm takes a request after salloc has given up: what is granted is taken up, and what waits goes to sbatch.
func TestSallocAnswersLate(t *testing.T) {
	for queue, job := range map[string]string{"": "4711", "FAKE_QUEUE=1": "4712"} {
		t.Run(queue, func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t, "FAKE_SALLOC_LATE=2", queue)
			id := testID(t)
			r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
			if queue != "" {
				await[Pending](r)
				f.Free()
			}
			if g := await[Granted](r); g.Job.ID != job {
				t.Errorf("granted: %+v", g)
			}
			servesInOneJob(t, f, r, id)
			if f.Called("sbatch") != (queue != "") {
				t.Errorf("sbatch was called: %v; calls:\n%s", f.Called("sbatch"), f.Calls())
			}
		})
	}
}

// A request that was lost with slurmctld, which is back and has nothing of it, is made again, once.
func TestRequestLost(t *testing.T) {
	for command, other := range map[string]string{"salloc": "FAKE_SBATCH_REFUSE=x", "sbatch": "FAKE_SALLOC_REFUSE=salloc: error: Job submit/allocate failed: Unspecified error"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t, "FAKE_LOSE="+command, other)
			id := testID(t)
			r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
			await[Listening](r)
			if n := strings.Count(f.Calls(), command+" "); n != 2 || len(f.Jobs()) != 1 {
				t.Errorf("jobs %v, and calls:\n%s", f.Jobs(), f.Calls())
			}
			r.letGo()
			r.wait()
			stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
		})
	}
}

// Only slurmctld's own refusal makes sbatch ask. Words of salloc's own, and of lost messages, do not.
func TestFallBack(t *testing.T) {
	for words, want := range map[string]bool{
		"salloc: error: Job submit/allocate failed: Invalid account or account/partition combination specified":                 true,
		"salloc: error: no interactive jobs here\nsalloc: error: Job submit/allocate failed: Unspecified error":                 true,
		"salloc: error: Job submit/allocate failed: Job violates accounting/QOS policy (job submit limit)":                      true,
		"salloc: error: Job submit/allocate failed: Socket timed out on send/recv operation":                                    false,
		"salloc: error: Job submit/allocate failed: Zero Bytes were transmitted or received":                                    false,
		"salloc: error: Job submit/allocate failed: Connection timed out":                                                       false,
		"salloc: error: Job submit/allocate failed: Slurm backup controller in standby mode":                                    false,
		"salloc: error: Job submit/allocate failed: Message receive failure":                                                    false,
		"salloc: error: Job submit/allocate failed: Transport endpoint is not connected":                                        false,
		"salloc: unrecognized option '--bell'\nTry \"salloc --help\" for more information":                                      false,
		"salloc: error: Slurm temporarily unable to accept job, sleeping and retrying\nsalloc: error: Connection reset by peer": false,
	} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t, "FAKE_SALLOC_REFUSE="+strings.ReplaceAll(words, "\n", `\n`), "FAKE_SBATCH_REFUSE=sbatch: error: Batch job submission failed: refused too")
			r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}}})
			r.wait()
			var refused *RefusedError
			if !errors.As(r.err, &refused) || f.Called("sbatch") != want || !f.Called("salloc") {
				t.Errorf("ended with %v; calls:\n%s", r.err, f.Calls())
			}
		})
	}
}

// A stop that comes while sbatch is on its way claims nothing that is not so.
func TestStopBeforeSbatch(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_PAUSE=before-sbatch")
	id := testID(t)
	s := &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}, Lease: time.Hour}
	r := submit(t.Context(), t, f, s)
	f.Paused()
	// A stop from elsewhere sees no job and no answer yet.
	var remains *RemainsError
	if _, err := Stop(t.Context(), f, Stopping{ID: id}); !errors.As(err, &remains) {
		t.Errorf("a stop while sbatch hangs: %v", err)
	}
	s.Withdraw()
	r.wait()
	f.GoOn()
	if !r.outcome.Withdrawn || f.Running("bin/sbatch") > 0 || len(f.Jobs()) > 0 {
		t.Errorf("ended with %+v, %v; jobs %v", r.outcome, r.err, f.Jobs())
	}
	if _, err := Stop(t.Context(), f, Stopping{ID: id}); err != nil {
		t.Errorf("a stop when all is over: %v", err)
	}
}

// Every process of the login node dies while sbatch asks, its request unsent: a stop is sure that
// nothing comes of it, and does not say otherwise.
func TestStopAfterSbatchWasKilled(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_PAUSE=before-sbatch")
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}, Lease: time.Hour})
	f.Paused()
	if f.KillLogin() == 0 {
		t.Fatal("nothing was killed")
	}
	r.wait()
	stopFake(t, f, Stopping{ID: id})
}

// A second job of the session finds the first one's runner alive: it ends itself, and says nothing.
func TestSecondRunner(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
	l := await[Listening](r)
	dir := filepath.Join(f.Home, ".cscs", "fake", id)
	var out strings.Builder
	again := "sbatch --job-name=" + JobName(id) + " --wrap='exec bash --noprofile --norc -p " + dir + "/remote.sh batch'"
	if err := f.Exec(t.Context(), again, strings.NewReader(""), &out, &out); err != nil {
		t.Fatal(err)
	}
	waittest.Until(t, 20*time.Second, "the end of the second job", func() bool { return len(f.Jobs()) == 1 })
	getOK(t, l.Addr)
	events := readAll(t, filepath.Join(dir, "events"))
	if strings.Count(events, "alive\t") != 1 || strings.Contains(events, "exited") {
		t.Errorf("events:\n%s", events)
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// A login node that has lost the home directory's mount does not end a session that is well.
func TestHomeAway(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	s := &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}, Lease: time.Hour}
	r := submit(t.Context(), t, f, s)
	l := await[Listening](r)
	for _, away := range []string{f.Home, filepath.Join(f.Home, ".cscs")} {
		if err := os.Rename(away, f.Home+".away"); err != nil {
			t.Fatal(err)
		}
		r.wait()
		getOK(t, l.Addr)
		var remote *RemoteError
		_, err := s.Follow(t.Context(), f, func(Event) error { return nil })
		for _, err := range []error{r.err, err} {
			if !errors.As(err, &remote) || remote.Kind != "away" {
				t.Errorf("without %s: %v", away, err)
			}
		}
		if err := os.Rename(f.Home+".away", away); err != nil {
			t.Fatal(err)
		}
		r = follow(t.Context(), t, f, s)
		await[Hello](r)
	}
	if err := os.Rename(f.Home, f.Home+".away"); err != nil {
		t.Fatal(err)
	}
	var remote *RemoteError
	if _, _, err := List(t.Context(), f); !errors.As(err, &remote) || remote.Kind != "away" {
		t.Errorf("a list without a home: %v", err)
	}
	if err := os.Rename(f.Home+".away", f.Home); err != nil {
		t.Fatal(err)
	}
	r.letGo()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// A job that ran and is back in the queue before its runner began waits again, and then starts.
func TestRequeuedAtLaunch(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Request: Request{Via: ViaSbatch}, Launch: Launch{Argv: serverArgv("127.0.0.1")}, Lease: time.Hour})
	await[Queued](r)
	// slurmctld starts it, the prolog fails, and nothing of ours runs.
	f.SetState("4711", "RUNNING")
	await[Granted](r)
	f.SetState("4711", "PENDING")
	if q := await[Requeued](r); q.Job != "4711" {
		t.Errorf("requeued: %+v", q)
	}
	await[Queued](r)
	f.Free()
	await[Granted](r)
	getOK(t, await[Listening](r).Addr)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: AnyStep, Grace: time.Second})
}

// TestDirectoriesAbove: of the directories above the session's, its end removes those that a session
// has made, and no other, even if they are empty. The last session that ends removes them, whichever
// made them.
func TestDirectoriesAbove(t *testing.T) {
	t.Parallel()
	for _, users := range [][]string{nil, {".cscs"}, {".cscs", ".cscs/fake"}} {
		for _, failure := range []string{"", "FAKE_REFUSE=salloc: error: Invalid partition name specified"} {
			t.Run(fmt.Sprint(len(users), failure != ""), func(t *testing.T) {
				t.Parallel()
				f := slurmtest.New(t, failure)
				before := map[string]os.FileInfo{}
				for _, dir := range users {
					if err := os.Mkdir(filepath.Join(f.Home, dir), 0o750); err != nil {
						t.Fatal(err)
					}
					before[dir], _ = os.Stat(filepath.Join(f.Home, dir))
				}
				ids := []string{"aaaaaaaa", "bbbbbbbb"}
				for _, id := range ids {
					r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: []string{"true"}}})
					r.wait()
				}
				for _, id := range ids {
					if _, err := Stop(t.Context(), f, Stopping{ID: id, Log: io.Discard}); err != nil {
						t.Fatal(err)
					}
				}
				after := map[string]bool{}
				_ = filepath.WalkDir(filepath.Join(f.Home, ".cscs"), func(path string, d os.DirEntry, err error) error {
					if err != nil {
						return nil
					}
					name, _ := filepath.Rel(f.Home, path)
					after[name] = true
					info, _ := d.Info()
					if was := before[name]; was == nil || !os.SameFile(was, info) || was.Mode() != info.Mode() {
						t.Errorf("%s is left: %v, and was %v", name, info, was)
					}
					return nil
				})
				for _, dir := range users {
					if !after[dir] {
						t.Errorf("%s is gone", dir)
					}
				}
			})
		}
	}
}

// TestNoDirectory: where something else than a directory has the name of one, the error names it.
func TestNoDirectory(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(string) error{
		"file":          func(path string) error { return os.WriteFile(path, []byte("mine\n"), 0o600) },
		"dangling link": func(path string) error { return os.Symlink("/nosuch/place", path) },
	} {
		for _, place := range []string{".cscs", ".cscs/fake"} {
			t.Run(name+" "+place, func(t *testing.T) {
				f := slurmtest.New(t)
				path := filepath.Join(f.Home, place)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := put(path); err != nil {
					t.Fatal(err)
				}
				r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}}})
				r.wait()
				var remote *RemoteError
				if !errors.As(r.err, &remote) || remote.Kind != "nodir" || remote.Path != path || !remote.BeforeRequest() {
					t.Errorf("error %v, want one that names %s", r.err, path)
				}
				if _, err := os.Lstat(path); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestExposedDirectory: where another user could put a script in the place of ours, nothing is asked for.
func TestExposedDirectory(t *testing.T) {
	t.Parallel()
	for _, place := range []string{".cscs", ".cscs/fake"} {
		t.Run(place, func(t *testing.T) {
			f := slurmtest.New(t)
			path := filepath.Join(f.Home, place)
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o770); err != nil {
				t.Fatal(err)
			}
			r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}}})
			r.wait()
			var remote *RemoteError
			if !errors.As(r.err, &remote) || remote.Kind != "exposed" || remote.Path != path || !remote.BeforeRequest() || f.Requested() {
				t.Errorf("error %v, want one that names %s; calls:\n%s", r.err, path, f.Calls())
			}
		})
	}
}

// TestListNamesakes: a job of the user's that has the name of a session neither takes the place of the
// session's own job in the list, nor has the session's files removed.
func TestListNamesakes(t *testing.T) {
	t.Parallel()
	const alive = "alive\tjob=%s\tstep=0\tnode=nid001001\tpid=1\nlistening\taddr=127.0.0.1\tport=8888\n"
	for name, c := range map[string]struct {
		files   map[string]string
		renewed time.Duration
		state   string
		job     string // that is listed
	}{
		"one that waits":         {map[string]string{"batch": "4711\n"}, 0, "PENDING", "4711"},
		"one that was left":      {map[string]string{"batch": "4711\n", "detached": "0000000007\n"}, 48 * time.Hour, "PENDING", "4711"},
		"one that runs":          {map[string]string{"batch": "4711\n", "events": fmt.Sprintf(alive, "4711")}, 0, "RUNNING", "4711"},
		"stale, with its runner": {map[string]string{"batch": "4711\n", "events": fmt.Sprintf(alive, "4711")}, 48 * time.Hour, "RUNNING", "4711"},
		"one whose job is over":  {map[string]string{"batch": "17\n", "events": fmt.Sprintf(alive, "17")}, 0, "PENDING", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := slurmtest.New(t, "FAKE_QUEUE=1")
			id := testID(t)
			dir := putSession(t, f, id, c.renewed)
			putFiles(t, dir, c.files)
			putFiles(t, dir, map[string]string{"remote.sh": "x\n"})
			putJob(t, f, JobName(id))
			f.SetState("4711", c.state)
			putJob(t, f, JobName(id)) // the user's own
			found, swept, err := List(t.Context(), f)
			if err != nil || len(swept) > 0 || len(found) != 1 || found[0].Job != c.job {
				t.Errorf("found %+v, swept %+v, error %v; want job %q", found, swept, err, c.job)
			}
			if _, err := os.Stat(filepath.Join(dir, "remote.sh")); err != nil {
				t.Errorf("the session's script: %v", err)
			}
			if jobs := f.Jobs(); len(jobs) != 2 {
				t.Errorf("jobs %v", jobs)
			}
		})
	}
}
