package slurm

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A request by sbatch is the same session: the same events in the same order, the same
// environment for the server, the same end.
func TestViaSbatch(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "SBATCH_WAIT=1", "SLURM_HINT=nomultithread", "MINE=it's\nmine")
	id := testID(t)
	s := &Submission{ID: id, Request: Request{Via: ViaSbatch}, Launch: Launch{
		Argv: serverArgv("127.0.0.1"), Grace: 5 * time.Second,
		Setup: []string{`printf '%s|' "$MINE" "$SLURM_HINT" "${SLURM_TASKS_PER_NODE-}" "${ENVIRONMENT-}" "$SLURM_NTASKS" "$SLURM_STEP_ID"`},
	}}
	r := submit(t.Context(), t, f, s)
	if p := await[Pending](r); p != (Pending{Job: "4711", Kept: true}) {
		t.Errorf("pending: %+v", p)
	}
	if g := await[Granted](r); g.Job.ID != "4711" || g.Job.Nodes[0] != "nid001001" {
		t.Errorf("granted: %+v", g)
	}
	if a := await[Alive](r); a.Job != "4711" || a.Step != "0" {
		t.Errorf("alive: %+v", a)
	}
	l := await[Listening](r)
	getOK(t, l.Addr)
	// Nothing of the login node matters.
	f.KillLogin()
	r.wait()
	if !errors.Is(r.err, ErrCut) {
		t.Errorf("ended with %v", r.err)
	}
	getOK(t, l.Addr)
	log, exited := stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 5 * time.Second})
	if exited == nil || exited.Reason != "asked" {
		t.Errorf("exited: %+v", exited)
	}
	if want := "it's\nmine|nomultithread||||0|hello from " + f.Home; !strings.Contains(log, want) {
		t.Errorf("log:\n%s\nwants:\n%s", log, want)
	}
	if f.Called("salloc") || strings.Contains(f.Calls(), "presets") {
		t.Errorf("calls:\n%s", f.Calls())
	}
}

// The job's script goes with the session, however short that was: Slurm would kill it after KillWait
// (30 s by default), and hold the node until then.
func TestBatchEnds(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: 5 * time.Second}})
	await[Listening](r)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 5 * time.Second})
	waittest.Until(t, 5*time.Second, "the end of the job's script", func() bool { return f.Running("remote.sh batch") == 0 })
	if n := strings.Count(f.Calls(), "remote.sh run"); n != 1 {
		t.Errorf("the runner was started %d times:\n%s", n, f.Calls())
	}
}

// What sbatch refuses is told as what salloc refuses is.
func TestSbatchRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sbatch, want string }{
		{"sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: Invalid partition name specified", "invalid partition specified: x; Invalid partition name specified"},
		{`sbatch: unrecognized option '--uenv=x'\nTry "sbatch --help" for more information`, "unrecognized option '--uenv=x'"},
		{"sbatch: error: Invalid --time specification", "Invalid --time specification"},
	} {
		f := slurmtest.New(t, "FAKE_SBATCH_REFUSE="+c.sbatch)
		r := submit(t.Context(), t, f, &Submission{ID: testID(t), Request: Request{Via: ViaSbatch}, Launch: Launch{Argv: []string{"true"}}})
		r.wait()
		var refused *RefusedError
		if !errors.As(r.err, &refused) || refused.Message != c.want || refused.Unsure {
			t.Errorf("%s: error %#v", c.sbatch, r.err)
		}
		if left, _ := filepath.Glob(filepath.Join(f.Home, ".cscs")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// By default salloc asks, with sbatch's presets where it has none of its own. Where Slurm grants the
// request at once, that is all, whatever becomes of the login node after the runner's start.
func TestAutoGranted(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "SALLOC_ACCOUNT=g1", "SALLOC_QOS=now", "SBATCH_PARTITION=other", "SBATCH_QOS=later")
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	for granted := false; !granted; {
		switch e := awaitAny(r).(type) {
		case Pending:
			t.Errorf("pending: %+v", e)
		case Granted:
			granted = true
		}
	}
	await[Alive](r)
	if calls := f.Calls(); !strings.Contains(calls, "presets: SALLOC_ACCOUNT=g1 SALLOC_PARTITION=other SALLOC_QOS=now\n") || f.Called("sbatch") || f.Called("scancel") {
		t.Errorf("calls:\n%s", calls)
	}
	l := await[Listening](r)
	f.KillLogin()
	r.wait()
	getOK(t, l.Addr)
	stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 5 * time.Second})
}

// What Slurm does not grant at once is taken back from salloc and given to sbatch, with salloc's presets
// before its own. Then it needs no process on the login node, and a client that follows sees it start.
func TestAutoWaits(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "SALLOC_ACCOUNT=g1", "SALLOC_QOS=now", "SBATCH_PARTITION=other", "SBATCH_QOS=later")
	id := testID(t)
	s := &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}}
	r := submit(t.Context(), t, f, s)
	if p := await[Pending](r); p != (Pending{Job: "4712", Kept: true}) {
		t.Errorf("pending: %+v", p)
	}
	if jobs := f.Jobs(); !slices.Equal(jobs, []string{"4712"}) {
		t.Errorf("in the queue: %v", jobs)
	}
	waittest.Until(t, 5*time.Second, "the end of salloc", func() bool { return f.Running("bin/salloc") == 0 })
	if q := await[Queued](r); q.Job != "4712" || q.Reason != "Resources" {
		t.Errorf("queued: %+v", q)
	}
	if calls := f.Calls(); !strings.Contains(calls, "presets: SBATCH_ACCOUNT=g1 SBATCH_PARTITION=other SBATCH_QOS=now\n") {
		t.Errorf("calls:\n%s", calls)
	}
	f.KillLogin()
	r.wait()
	if !errors.Is(r.err, ErrCut) {
		t.Fatalf("ended with %v", r.err)
	}
	r = follow(t.Context(), t, f, s)
	if p := await[Pending](r); p != (Pending{Job: "4712", Kept: true}) {
		t.Errorf("taken up: %+v", p)
	}
	// Another laptop, which has the ID alone.
	other := follow(t.Context(), t, f, &Submission{ID: id})
	if q := await[Queued](other); q.Job != "4712" {
		t.Errorf("queued: %+v", q)
	}
	f.Free()
	for _, r := range []*run{r, other} {
		if g := await[Granted](r); g.Job.ID != "4712" {
			t.Errorf("granted: %+v", g)
		}
		await[Alive](r)
		getOK(t, await[Listening](r).Addr)
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: "4712.0", Grace: 5 * time.Second})
	// The other one is told that it was a stop of ours.
	other.wait()
	if !other.outcome.Asked() || other.outcome.Err() != nil {
		t.Errorf("the other client ended with %+v, %v", other.outcome, other.err)
	}
}

// The request is granted in the moment in which it is taken back: just before scancel looks at its state,
// or between that look and the cancellation. Never are there two allocations, nor none.
func TestAutoGrantedWhileTakenBack(t *testing.T) {
	t.Parallel()
	for grant, job := range map[string]string{"seen": "4711", "unseen": "4712"} {
		t.Run(grant, func(t *testing.T) {
			f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_GRANT="+grant)
			id := testID(t)
			r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
			if g := await[Granted](r); g.Job.ID != job {
				t.Errorf("granted: %+v", g)
			}
			getOK(t, await[Listening](r).Addr)
			if jobs := f.Jobs(); !slices.Equal(jobs, []string{job}) || f.Called("sbatch") != (grant == "unseen") {
				t.Errorf("jobs %v; calls:\n%s", jobs, f.Calls())
			}
			r.letGo()
			r.wait()
			stopFake(t, f, Stopping{ID: id, Step: job + ".0", Grace: 5 * time.Second})
			if jobs := f.Jobs(); len(jobs) > 0 {
				t.Errorf("jobs left: %v", jobs)
			}
		})
	}
}

// The answer to the cancellation is lost, and the request is granted before it is carried out: a look in between shows
// a job that runs and is about to be cancelled.
func TestAutoCancelledLate(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_CANCEL_LATE=1")
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	if g := await[Granted](r); g.Job.ID != "4712" {
		t.Errorf("granted: %+v", g)
	}
	getOK(t, await[Listening](r).Addr)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: "4712.0", Grace: 5 * time.Second})
}

// Where scancel refuses to have slurmctld choose, the request is taken back all the same.
func TestAutoTakenBackWithoutCtld(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_NO_CTLD=1")
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	if p := await[Pending](r); p != (Pending{Job: "4712", Kept: true}) {
		t.Errorf("pending: %+v", p)
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id})
}

// slurmctld does not answer while the request is to be taken back: sbatch is not asked before it does.
func TestAutoTakenBackLate(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_PAUSE=before-take-back")
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	f.Paused()
	f.Busy(true) // the next scancel fails too
	f.GoOn()
	waittest.Until(t, 20*time.Second, "a second scancel", func() bool { return strings.Count(f.Calls(), "--state=PENDING 4711") > 1 })
	if f.Called("sbatch") {
		t.Errorf("calls:\n%s", f.Calls())
	}
	f.Busy(false)
	if p := await[Pending](r); p != (Pending{Job: "4712", Kept: true}) {
		t.Errorf("pending: %+v", p)
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id})
	if jobs := f.Jobs(); len(jobs) > 0 {
		t.Errorf("jobs left: %v", jobs)
	}
}

// A stop, or the client's end, in every moment of the hand-over leaves no job.
func TestAutoStoppedWhileTakenBack(t *testing.T) {
	t.Parallel()
	for _, place := range []string{"before-salloc", "in-salloc", "before-take-back", "before-sbatch", "in-sbatch"} {
		for _, by := range []string{"client", "elsewhere"} {
			t.Run(place+" "+by, func(t *testing.T) {
				t.Parallel()
				f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_PAUSE="+place)
				id := testID(t)
				r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
				f.Paused()
				stopped := make(chan struct{})
				go func() {
					defer close(stopped)
					if by == "elsewhere" {
						stopFake(t, f, Stopping{ID: id})
					} else {
						r.letGo()
					}
				}()
				if by == "elsewhere" {
					waittest.Until(t, 10*time.Second, "the stop", func() bool { return f.Called("squeue") })
				}
				f.GoOn()
				<-stopped
				if by == "elsewhere" {
					r.letGo()
				}
				r.wait()
				stopFake(t, f, Stopping{ID: id})
				waittest.Until(t, 15*time.Second, "the end of the job", func() bool { return len(f.Jobs()) == 0 })
			})
		}
	}
}

// A site where salloc does not take what sbatch takes.
func TestAutoWithoutSalloc(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_SALLOC_REFUSE=salloc: error: Job submit/allocate failed: no interactive jobs here")
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	if p := await[Pending](r); p != (Pending{Job: "4711", Kept: true}) {
		t.Errorf("pending: %+v", p)
	}
	if n := await[Note](r); !strings.Contains(n.Message, "salloc refuses what sbatch accepts") || !strings.Contains(n.Message, "no interactive jobs here") {
		t.Errorf("note %q", n.Message)
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id})
}

// An answer of salloc's is lost: whatever Slurm has is taken back, and sbatch is not asked beside it.
func TestAutoUnsure(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_SALLOC_REFUSE=salloc: error: Job submit/allocate failed: Socket timed out on send/recv operation")
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	r.wait()
	var refused *RefusedError
	if !errors.As(r.err, &refused) || f.Called("sbatch") {
		t.Errorf("error %v; calls:\n%s", r.err, f.Calls())
	}
}

// sbatch did not hear that its request was taken: it is taken up all the same, and nothing else is
// asked for.
func TestSbatchAnswerLost(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_ANSWER_LOST=1")
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Request: Request{Via: ViaSbatch}, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	for granted := false; ; {
		e := awaitAny(r)
		if n, ok := e.(Note); ok {
			t.Errorf("the request was taken, and there is a note: %q", n.Message)
		}
		if g, ok := e.(Granted); ok {
			granted = g.Job.ID == "4711"
		}
		if _, ok := e.(Listening); ok {
			if !granted {
				t.Error("job 4711 was not granted")
			}
			break
		}
	}
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 5 * time.Second})
	if f.Called("salloc") {
		t.Errorf("calls:\n%s", f.Calls())
	}
}

// Every process of the login node is killed while sbatch asks: a client that is there ends
// it all, one that takes the session up brings it on its way, and without one it ends by
// itself.
func TestAutoKilled(t *testing.T) {
	for _, place := range []string{"before-sbatch", "in-sbatch"} {
		for _, then := range []string{"stop", "follow", "nobody"} {
			t.Run(place+" "+then, func(t *testing.T) {
				t.Parallel()
				f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_PAUSE="+place)
				id := testID(t)
				s := &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}, Lease: 3 * time.Second}
				r := submit(t.Context(), t, f, s)
				f.Paused()
				f.KillLogin()
				f.GoOn()
				r.wait()
				if !errors.Is(r.err, ErrCut) {
					t.Fatalf("ended with %v", r.err)
				}
				switch {
				case then == "stop":
					stopFake(t, f, Stopping{ID: id})
					f.Free()
				case place == "before-sbatch":
					if jobs := f.Jobs(); len(jobs) > 0 {
						t.Errorf("nothing was asked for, and there is %v", jobs)
					}
					if then == "follow" {
						r := follow(t.Context(), t, f, s)
						r.wait()
						var remote *RemoteError
						if !errors.As(r.err, &remote) || remote.Kind != "gone" || len(f.Jobs()) > 0 {
							t.Errorf("taken up: %+v, %v, jobs %v", r.outcome, r.err, f.Jobs())
						}
					}
				case then == "follow": // its number is lost, its name is not
					r := follow(t.Context(), t, f, s)
					await[Pending](r)
					f.Free()
					if g := await[Granted](r); g.Job.ID != "4712" {
						t.Errorf("granted: %+v", g)
					}
					await[Listening](r)
					r.letGo()
					r.wait()
					stopFake(t, f, Stopping{ID: id, Step: "4712.0", Grace: time.Second})
				default:
					waittest.SpendRealTime(7 * time.Second) // longer than two leases
					f.Free()
				}
				waittest.Until(t, 15*time.Second, "the end of the job", func() bool { return len(f.Jobs()) == 0 })
			})
		}
	}
}

// A site where sbatch does not take what salloc takes: the request waits with salloc, which
// is told, with the deadline of a long wait.
func TestAutoWithoutSbatch(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1", "FAKE_SBATCH_REFUSE=sbatch: error: Batch job submission failed: no batch jobs here")
	id := testID(t)
	s := &Submission{ID: id, Request: Request{Time: "10", QueueTimeout: time.Hour}, Launch: Launch{Argv: serverArgv("127.0.0.1")}}
	r := submit(t.Context(), t, f, s)
	if n := await[Note](r); !strings.Contains(n.Message, "sbatch refuses what salloc accepts") || !strings.Contains(n.Message, "no batch jobs here") {
		t.Errorf("note %q", n.Message)
	}
	if p := await[Pending](r); p != (Pending{Job: "4712"}) {
		t.Errorf("pending: %+v", p)
	}
	if calls := f.Calls(); !strings.Contains(calls, "--deadline=now+4200 --time=10\n") {
		t.Errorf("calls:\n%s", calls)
	}
	s.Detach()
	if n := await[Note](r); !strings.Contains(n.Message, "cannot be detached") {
		t.Errorf("note %q", n.Message)
	}
	f.Free()
	if g := await[Granted](r); g.Job.ID != "4712" {
		t.Errorf("granted: %+v", g)
	}
	await[Listening](r)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: "4712.0", Grace: 5 * time.Second})
}

// Who goes away as soon as the request waits is told that sbatch does not take it.
func TestLeftWithoutSbatch(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_SBATCH_REFUSE=sbatch: error: Batch job submission failed: no batch jobs here")
	r := submit(t.Context(), t, f, &Submission{ID: testID(t), Request: Request{Left: true}, Launch: Launch{Argv: []string{"true"}}})
	r.wait()
	var refused *RefusedError
	if !errors.As(r.err, &refused) || refused.Message != "no batch jobs here" || f.Called("salloc") {
		t.Errorf("error %v; calls:\n%s", r.err, f.Calls())
	}
}

// Ways in which a request that waits in Slurm alone comes to its end.
func TestKeptEnds(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, env ...string) (*slurmtest.Cluster, *run, string) {
		f := slurmtest.New(t, append(env, "FAKE_QUEUE=1")...)
		id := testID(t)
		r := submit(t.Context(), t, f, &Submission{ID: id, Request: Request{Via: ViaSbatch}, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
		return f, r, id
	}
	t.Run("withdrawn", func(t *testing.T) {
		t.Parallel()
		f, r, id := begin(t)
		await[Queued](r)
		r.letGo()
		r.wait()
		if r.err != nil || !r.outcome.Withdrawn || len(f.Jobs()) > 0 {
			t.Errorf("outcome %+v, %v; jobs %v", r.outcome, r.err, f.Jobs())
		}
		stopFake(t, f, Stopping{ID: id})
	})
	t.Run("never starts", func(t *testing.T) {
		t.Parallel()
		f, r, id := begin(t, "FAKE_REASON=PartitionTimeLimit")
		r.wait()
		var never *NeverStartsError
		if !errors.As(r.err, &never) || never.Job != "4711" {
			t.Errorf("error %v", r.err)
		}
		stopFake(t, f, Stopping{ID: id})
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		f, r, id := begin(t)
		await[Queued](r)
		if err := f.Exec(t.Context(), "scancel 4711", strings.NewReader(""), os.Stderr, os.Stderr); err != nil {
			t.Fatal(err)
		}
		r.wait()
		var ended *JobEndedError
		if err := r.outcome.Err(); r.err != nil || !errors.As(err, &ended) || ended.State != "CANCELLED" {
			t.Errorf("ended with %v, %v", err, r.err)
		}
		stopFake(t, f, Stopping{ID: id})
	})
	t.Run("stopped", func(t *testing.T) { // from elsewhere
		f, r, id := begin(t)
		await[Queued](r)
		stopFake(t, f, Stopping{ID: id})
		r.wait()
		if r.err != nil || !r.outcome.Asked() || r.outcome.Err() != nil {
			t.Errorf("ended with %+v, %v", r.outcome, r.err)
		}
	})
}

// A job that starts when nobody has been heard of for long ends at once; one that was left
// on purpose has a lease from its start.
func TestForsaken(t *testing.T) {
	t.Parallel()
	for _, detached := range []bool{false, true} {
		t.Run(map[bool]string{false: "lost", true: "detached"}[detached], func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t, "FAKE_QUEUE=1")
			id := testID(t)
			s := &Submission{ID: id, Request: Request{Via: ViaSbatch}, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}, Lease: 120 * time.Second}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := submit(ctx, t, f, s)
			await[Queued](r)
			if detached {
				s.Detach()
				r.wait()
				if r.err != nil || !r.outcome.Detached || r.outcome.Err() != nil {
					t.Fatalf("ended with %+v, %v", r.outcome, r.err)
				}
			} else {
				cancel()
				r.wait()
			}
			file := filepath.Join(f.Home, ".cscs", "fake", id, "lease")
			value, _, _ := strings.Cut(readAll(t, file), " ")
			// As it will be in half an hour.
			if err := os.WriteFile(file, []byte(value+" "+strconv.Itoa(int(time.Now().Unix()-331))+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			f.Free()
			r = follow(t.Context(), t, f, &Submission{ID: id})
			if detached {
				await[Listening](r)
				r.letGo()
				r.wait()
				stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: time.Second})
				return
			}
			r.wait()
			var ended *JobEndedError
			if err := r.outcome.Err(); r.err != nil || !errors.As(err, &ended) || ended.State != "LEASE" {
				t.Errorf("ended with %v, %v", err, r.err)
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), "launched")); err == nil {
				t.Error("the server was started")
			}
			if jobs := f.Jobs(); len(jobs) > 0 {
				t.Errorf("jobs left: %v", jobs)
			}
			stopFake(t, f, Stopping{ID: id})
		})
	}
}

func readAll(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Left while it waits or while it runs, the job goes on.
func TestDetach(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, "FAKE_QUEUE=1")
	id := testID(t)
	s := &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}, Lease: time.Hour}
	r := submit(t.Context(), t, f, s)
	await[Queued](r)
	s.Detach()
	r.wait()
	if r.err != nil || !r.outcome.Detached {
		t.Fatalf("ended with %+v, %v", r.outcome, r.err)
	}
	f.Free()
	s = &Submission{ID: id, Lease: time.Hour}
	r = follow(t.Context(), t, f, s)
	l := await[Listening](r)
	s.Detach()
	r.wait()
	if r.err != nil || !r.outcome.Detached {
		t.Fatalf("ended with %+v, %v", r.outcome, r.err)
	}
	getOK(t, l.Addr)
	stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 5 * time.Second})
}

// salloc's job, too, goes on when it is left.
func TestDetachGranted(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	s := &Submission{ID: id, Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: serverArgv("127.0.0.1")}}
	s.Detach()
	r := submit(t.Context(), t, f, s)
	r.wait()
	if r.err != nil || !r.outcome.Detached {
		t.Fatalf("ended with %+v, %v", r.outcome, r.err)
	}
	r = follow(t.Context(), t, f, &Submission{ID: id})
	getOK(t, await[Listening](r).Addr)
	r.letGo()
	r.wait()
	stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 5 * time.Second})
}

// The runner of a batch job is killed: its batch script says so, and the job ends.
func TestRunnerKilled(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Request: Request{Via: ViaSbatch}, Launch: Launch{Argv: []string{"sleep", "600"}}})
	await[Started](r)
	waittest.SpendRealTime(7 * time.Second) // one that is killed earlier is started again
	f.Kill("remote.sh run")
	r.wait()
	var server *ServerError
	if err := r.outcome.Err(); !errors.As(err, &server) || server.Reason != "killed" {
		t.Errorf("ended with %v, %v", err, r.err)
	}
	stopFake(t, f, Stopping{ID: id})
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		time  string
		extra []string
		want  string
	}{
		{"10", nil, "now+660"},
		{"0:30", nil, "now+120"},
		{"10:01", nil, "now+720"},
		{"1:00:00", nil, "now+3660"},
		{"2-0", nil, "now+172860"},
		{"1-12:30", nil, "now+131460"},
		{"1-12:30:10", nil, "now+131520"},
		{"", nil, ""},
		{"UNLIMITED", nil, ""},
		{"0", nil, ""},
		{"10", []string{"--deadline=now+5"}, ""},
		{"10", []string{"--dead=now+5"}, ""},
		{"10", []string{"--time-min=5"}, ""},
		{"10", []string{"-t5"}, ""},
		{"10", []string{"-vt5"}, ""},
		{"10", []string{"-xt5"}, "now+660"}, // not on node t5
		{"10", []string{"--exclusive"}, "now+660"},
	} {
		if got := (Request{Time: c.time, Extra: c.extra}).deadlineValue(time.Minute); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.time, c.extra, got, c.want)
		}
	}
	if got := (Request{Time: "10"}).deadlineValue(0); got != "" {
		t.Errorf("without an end of patience: %q", got)
	}
}

func TestCommandLines(t *testing.T) {
	t.Parallel()
	const batch = `--export=ALL --no-requeue`
	const script = ` --output={dir}/batch.log --wrap='exec bash --noprofile --norc -p {dir}/remote.sh batch'`
	for _, c := range []struct {
		request Request
		want    []string
	}{
		{Request{Time: "10", Via: ViaSalloc, QueueTimeout: time.Hour}, []string{"salloc --no-shell --job-name=cscs-abc --deadline=now+4200 --time=10"}},
		{Request{Mem: "1 G", Via: ViaSbatch}, []string{"sbatch --parsable --job-name=cscs-abc " + batch + script + " '--mem=1 G'"}},
		{Request{Mem: "1", Left: true}, []string{"sbatch --parsable --job-name=cscs-abc " + batch + script + " --mem=1"}},
		{Request{Time: "10", QueueTimeout: time.Hour}, []string{
			"salloc --no-shell --job-name=cscs-abc --time=10", "# if it has to wait:",
			"sbatch --parsable --job-name=cscs-abc " + batch + script + " --time=10"}},
	} {
		if diff := cmp.Diff(c.want, c.request.CommandLines("abc")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestTimeLimit: of several time limits the last one counts, however it is written, as for Slurm.
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		time  string
		extra string
		want  time.Duration
		known bool
	}{
		{"2:00:00", "", 2 * time.Hour, true},
		{"2:00:00", "-t5", 5 * time.Minute, true},
		{"", "--time=5", 5 * time.Minute, true},
		{"10", "-vt1-0", 24 * time.Hour, true},
		{"10", "-t5 --time=7", 7 * time.Minute, true},
		{"10", "--time-min=5", 10 * time.Minute, true},
		{"10", "-t0", 0, false},
		{"10", "--time=UNLIMITED", 0, false},
		{"10", "--time=soon", 0, false},
		{"", "--exclusive", 0, false},
	} {
		limit, known := Request{Time: c.time, Extra: strings.Fields(c.extra)}.TimeLimit()
		if limit != c.want || known != c.known {
			t.Errorf("--time %q %s: %v, %v", c.time, c.extra, limit, known)
		}
	}
}

// slurmctld is down: the request is made as soon as it is back, and is withdrawn at once if the client does not want to
// wait.
func TestControllerAway(t *testing.T) {
	for via, command := range map[Via]string{ViaAuto: "salloc", ViaSalloc: "salloc", ViaSbatch: "sbatch"} {
		away := func(t *testing.T) (*slurmtest.Cluster, *run) {
			t.Parallel()
			f := slurmtest.New(t)
			f.Away(true)
			r := submit(t.Context(), t, f, &Submission{ID: testID(t), Request: Request{Via: via}, Launch: Launch{Argv: serverArgv("127.0.0.1"), Grace: time.Second}})
			waittest.Until(t, 20*time.Second, "a second request", func() bool { return strings.Count(f.Calls(), command+" ") > 1 })
			return f, r
		}
		t.Run(string(via)+"/back", func(t *testing.T) {
			f, r := away(t)
			f.Away(false)
			await[Listening](r)
			if jobs := f.Jobs(); len(jobs) != 1 || f.Twice() != "" {
				t.Errorf("jobs %v", jobs)
			}
			r.letGo()
			r.wait()
			stopFake(t, f, Stopping{ID: testID(t), Step: AnyStep, Grace: time.Second})
		})
		t.Run(string(via)+"/withdrawn", func(t *testing.T) {
			f, r := away(t)
			r.letGo()
			r.wait()
			if left, err := filepath.Glob(filepath.Join(f.Home, ".cscs")); err != nil || len(left) > 0 {
				t.Errorf("left in the home directory: %v, %v", left, err)
			}
		})
	}
}

// slurmctld stays down: the session ends with the words of Slurm's command, once.
func TestControllerStaysAway(t *testing.T) {
	for _, via := range []Via{ViaAuto, ViaSalloc, ViaSbatch} {
		t.Run(string(via), func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t)
			f.Away(true)
			v := new(vars)
			v.setValue("cscs_via", string(via))
			v.setValue("cscs_id", testID(t))
			v.setValue("cscs_silence_most", "3")
			stdin, never := io.Pipe()
			defer never.Close()
			s := Submission{}
			c := call{verb: "submit", vars: v, stdin: stdin, handle: func(l line) error { return s.handleLine(l, func(Event) error { return nil }) }}
			err := c.run(t.Context(), f)
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Unsure || refused.Message != "Unable to contact slurm controller (connect failure)" {
				t.Errorf("ended with %#v", err)
			}
			if left, err := filepath.Glob(filepath.Join(f.Home, ".cscs")); err != nil || len(left) > 0 {
				t.Errorf("left in the home directory: %v, %v", left, err)
			}
		})
	}
}

// TestNodeOutOfReach: the login node cannot start a step on the granted node. The job of salloc's ends, and only then
// sbatch gets the request, whose script starts the step on the node.
func TestNodeOutOfReach(t *testing.T) {
	fails := func(words string) string { return "echo 'srun: error: " + words + "' >&2; exit 1" }
	for name, login := range map[string]string{
		"name":       fails("Task launch for StepId=4711.0 failed on node nid001001: Can'\\''t find an address, check slurm.conf"),
		"connection": fails("Task launch for StepId=4711.0 failed on node nid001001: Communication connection failure"),
		"unheard":    "exec sleep 1000",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := slurmtest.New(t)
			instead(t, f, "srun", `mkdir "$FAKE/tried" 2>/dev/null || exec "$real" "$@"
`+login)
			id := testID(t)
			r := submitUnheard(t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
			first := await[Granted](r)
			again := await[Requeued](r)
			if again.Job != first.Job.ID || !strings.Contains(again.Message, "sbatch requests another job") {
				t.Errorf("requeued: %+v", again)
			}
			p := await[Pending](r)
			if p.Job == first.Job.ID || !p.Kept {
				t.Errorf("pending: %+v after job %s", p, first.Job.ID)
			}
			await[Listening](r)
			calls := f.Calls()
			if cancel, batch := strings.Index(calls, "scancel"), strings.Index(calls, "sbatch"); cancel < 0 || batch < cancel {
				t.Errorf("calls:\n%s", calls)
			}
			r.letGo()
			r.wait()
			stopFake(t, f, Stopping{ID: id, Job: p.Job, Step: p.Job + ".0", Grace: 5 * time.Second})
		})
	}
	// A prolog can take minutes: the step exists meanwhile.
	t.Run("slow-prolog", func(t *testing.T) {
		t.Parallel()
		f := slurmtest.New(t, "FAKE_STEPS=0")
		instead(t, f, "srun", `read -rt 5 <> <(:)
exec "$real" "$@"`)
		id := testID(t)
		r := submitUnheard(t, f, &Submission{ID: id, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
		await[Listening](r)
		if f.Called("sbatch") {
			t.Errorf("calls:\n%s", f.Calls())
		}
		r.letGo()
		r.wait()
		stopFake(t, f, Stopping{ID: id, Step: "4711.0", Grace: 5 * time.Second})
	})
	// The user cancels the job: cscs requests no other one.
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		f := slurmtest.New(t)
		instead(t, f, "srun", `scancel 4711
`+fails("Task launch for StepId=4711.0 failed on node nid001001: Communication connection failure"))
		r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}}})
		r.wait()
		var step *StepError
		if !errors.As(r.err, &step) || f.Called("sbatch") {
			t.Errorf("ended with %#v; calls:\n%s", r.err, f.Calls())
		}
	})
	t.Run("salloc-alone", func(t *testing.T) {
		t.Parallel()
		f := slurmtest.New(t, "FAKE_SRUN_FAILS=Task launch for StepId=4711.0 failed on node nid001001: Communication connection failure")
		r := submit(t.Context(), t, f, &Submission{ID: testID(t), Request: Request{Via: ViaSalloc}, Launch: Launch{Argv: []string{"true"}}})
		r.wait()
		var step *StepError
		if !errors.As(r.err, &step) || !step.OutOfReach || f.Called("sbatch") {
			t.Errorf("ended with %#v; calls:\n%s", r.err, f.Calls())
		}
	})
	t.Run("sbatch-refuses", func(t *testing.T) {
		t.Parallel()
		f := slurmtest.New(t, "FAKE_SRUN_FAILS=Task launch for StepId=4711.0 failed on node nid001001: Communication connection failure")
		instead(t, f, "sbatch", `echo "sbatch: error: Batch job submission failed: Access/permission denied" >&2; exit 1`)
		r := submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"true"}}})
		r.wait()
		var refused *RefusedError
		if !errors.As(r.err, &refused) || !strings.Contains(refused.Message, "Communication connection failure") || !strings.Contains(refused.Message, "permission denied") {
			t.Errorf("ended with %#v", r.err)
		}
		if left, err := filepath.Glob(filepath.Join(f.Home, ".cscs")); err != nil || len(left) > 0 {
			t.Errorf("left in the home directory: %v, %v", left, err)
		}
	})
}

// submitUnheard is submit, with 1 s of patience for a silent srun.
func submitUnheard(t *testing.T, f *slurmtest.Cluster, s *Submission) *run {
	t.Helper()
	return reading(t.Context(), t, f, s, func(ctx context.Context, remote Remote, handle func(Event) error) (Outcome, error) {
		v := new(vars)
		s.Request.writeVars(v)
		s.Launch.writeVars(v)
		v.setValue("cscs_unheard_most", "1")
		return s.callRemote(ctx, remote, "submit", v, handle)
	})
}
