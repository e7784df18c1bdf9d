package slurm

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

func TestExamine(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t, `FAKE_SINFO=normal*|up|1-00:00:00|3|idle\nnormal*|up|1-00:00:00|1|down*\ndebug|down|30:00|3|idle\n`, `FAKE_ACCOUNTS=g1||\ng2|4|10\n`)
	if err := f.Exec(t.Context(), "salloc --no-shell --job-name=cscs-k7k7k7k7", strings.NewReader(""), io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	e, err := Examine(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if e.Before != "" || e.Began <= 0 || e.Host == "" || e.Shell != "bash" || e.Home != f.Home || e.HomeError != "" || e.HomeUsed < 0 || e.Version != "slurm 25.05.9" || e.Silent != "" {
		t.Errorf("got %+v", e)
	}
	if e.Now.Before(e.Asked) || e.Now.After(e.Answered) {
		t.Errorf("its clock says %s, ours %s to %s", e.Now, e.Asked, e.Answered)
	}
	if diff := cmp.Diff([]Partition{{"normal", true, true, "1-00:00:00", 3, 0}, {"debug", false, false, "30:00", 3, 0}}, e.Partitions); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Account{{Name: "g1"}, {"g2", 4, 10}}, e.Accounts); diff != "" || !e.Accounting {
		t.Error(diff)
	}
	if len(e.Jobs) != 1 || e.Jobs[0].ID != "k7k7k7k7" || e.Jobs[0].Job != "4711" || e.Jobs[0].State != "RUNNING" || e.Jobs[0].Nodes[0] != "nid001001" {
		t.Errorf("jobs: %+v", e.Jobs)
	}
	if left, _ := filepath.Glob(filepath.Join(f.Home, ".cscs*")); len(left) > 0 {
		t.Errorf("left in the home directory: %v", left)
	}
}

// What start-up files print is not taken for ours, and told.
func TestExamineTalk(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	e, err := Examine(t.Context(), talking{f, "Welcome\nto daint\n"})
	if err != nil || e.Before != "Welcome\nto daint" || e.Version == "" {
		t.Errorf("%v, %+v", err, e)
	}
	// Not even if it looks as what is ours.
	e, err = Examine(t.Context(), talking{f, "Welcome\npartition\tanswer=other*|up|1:00|3|idle\nanswered\tby=sinfo\tcode=1\n"})
	if err != nil || !strings.HasPrefix(e.Before, "Welcome\n") || e.Version == "" || e.Silent != "" ||
		slices.ContainsFunc(e.Partitions, func(p Partition) bool { return p.Name == "other" }) {
		t.Errorf("%v, %+v", err, e)
	}
}

type talking struct {
	Remote
	says string
}

func (r talking) Exec(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	for _, b := range []byte(r.says) { // in as many pieces as there may be
		if _, err := stdout.Write([]byte{b}); err != nil {
			return err
		}
	}
	return r.Remote.Exec(ctx, command, stdin, stdout, stderr)
}

// Each of Slurm's failures is told, and what could be learnt without it.
func TestExamineAiling(t *testing.T) {
	f := slurmtest.New(t, "FAKE_SINFO_ERROR=Unable to contact slurm controller (connect failure)")
	e, err := Examine(t.Context(), f)
	if err != nil || e.Silent != "Unable to contact slurm controller (connect failure)" || e.Accounting || e.Home == "" {
		t.Errorf("%v, %+v", err, e)
	}
	gone := filepath.Join(f.Home, "gone")
	if err := os.Rename(f.Home, f.Home+"-away"); err != nil {
		t.Fatal(err)
	}
	f.Setenv("HOME=" + gone)
	f.Home = "/"
	e, err = Examine(t.Context(), f)
	if err != nil || e.HomeError == "" {
		t.Errorf("without a home: %v, %+v", err, e)
	}
}

// TestExamineStartup: start-up files that end a login shell, or hold it up, are told, and nothing of
// theirs goes on.
func TestExamineStartup(t *testing.T) {
	t.Parallel()
	for profile, want := range map[string]*LoginShellError{
		"exit 3":                     {Status: 3},
		"exec true":                  {},
		"sleep 1234.5":               {Status: -1, After: startupLimit},
		"echo hello; false; set -eu": nil,
	} {
		f := slurmtest.New(t)
		if err := os.WriteFile(filepath.Join(f.Home, ".bash_profile"), []byte(profile+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := Examine(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if want != nil {
			want.Host = e.Host
		}
		if diff := cmp.Diff(want, e.Startup); diff != "" {
			t.Errorf("%s (-want +got):\n%s", profile, diff)
		}
		if e.Version == "" || e.Before != "" {
			t.Errorf("%s: %+v", profile, e)
		}
	}
	// 1 says that there is none, as against a pgrep that is not there or cannot look (pgrep(1)).
	var none *exec.ExitError
	if out, err := exec.Command("pgrep", "-f", "^sleep 1234.5$").Output(); !errors.As(err, &none) || none.ExitCode() != 1 {
		t.Errorf("left: %s, %v", out, err)
	}
}

// A login shell that never begins is told as one.
func TestExamineHang(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	e, err := Examine(ctx, hanging{})
	var remote *RemoteError
	if !errors.As(err, &remote) || remote.Kind != "hang" || remote.Output != "password?" || e.Host != "" {
		t.Errorf("%v, %+v", err, e)
	}
}

type hanging struct{}

func (hanging) Exec(ctx context.Context, _ string, _ io.Reader, stdout, _ io.Writer) error {
	_, _ = io.WriteString(stdout, "password?\n")
	<-ctx.Done()
	return context.Cause(ctx)
}

// FuzzExamine: whatever Slurm's commands say.
func FuzzExamine(f *testing.F) {
	for _, s := range []string{
		"partition\tanswer=normal*|up|1-00:00:00|3|idle", "partition\tanswer=|||", "account\tanswer=g1|-1|999999999999999999999", "job\tanswer=1|cscs-k|RUNNING|None|1|2|p|a|nid[1-3",
		"answered\tby=sinfo\tcode=124", "host\tnow=99999999999999999999", "home\tused=-5\terror=x\x1b[2J", "logins\tnow=\tmost=x", "slurm\tversion=",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := &Examination{Accounting: true, Silent: "x"}
		e.addLine(parseLine(s))
		for _, p := range e.Partitions {
			if p.Name == "" && !p.Default || p.Nodes < 0 {
				t.Errorf("%q: %+v", s, p)
			}
		}
		for _, a := range e.Accounts {
			if a.Name == "" || a.MaxJobs < 0 || a.MaxSubmit < 0 {
				t.Errorf("%q: %+v", s, a)
			}
		}
	})
}

// FuzzSaid: what salloc, sbatch, srun, squeue and scontrol print becomes one line, and no panic.
func FuzzSaid(f *testing.F) {
	f.Add("salloc: error: Job submit/allocate failed: Invalid account|srun: x", "1|RUNNING|None|1|2|p|a|nid001001|cscs-k7k7k7k7")
	f.Add("", "JobId=7 JobState=RUNNING NodeList=nid[1-2 EndTime=x")
	f.Fuzz(func(t *testing.T, words, data string) {
		if s := cleanMessage(words); strings.Contains(s, "|") {
			t.Errorf("%q became %q", words, s)
		}
		if found := parseFound(line{kind: "session", fields: []string{"job=" + data}}); !found.Over && strings.Count(data, "|") < 7 {
			t.Errorf("%q is over: %v", data, found.Over)
		} else if !found.Over && (strings.Contains(found.Job+found.State+found.Partition, "|") || slices.Contains(found.Nodes, "")) {
			t.Errorf("%q became %+v", data, found)
		}
		if j := parseJobInfo(data); strings.Contains(j.ID+j.State+j.Partition+j.Account, " ") || slices.Contains(j.Nodes, "") {
			t.Errorf("%q became %+v", data, j)
		}
		queued, ok := parseQueue("7", data).(Queued)
		if ok != (strings.Count(data, "|") >= 2) || ok && (queued.Job != "7" || strings.Contains(queued.State+queued.Reason, "|")) {
			t.Errorf("%q became %+v, %v", data, queued, ok)
		}
		var ended *JobEndedError
		if err := checkRunning("7", data); (err == nil) != strings.HasPrefix(data, "RUNNING|") || err != nil && (!errors.As(err, &ended) || ended.Job != "7") {
			t.Errorf("%q: %v", data, err)
		}
		if data != "" && strings.Trim(data, "_ ") != "" && ExplainReason(data, "7") == "" {
			t.Errorf("%q is not explained", data)
		}
	})
}
