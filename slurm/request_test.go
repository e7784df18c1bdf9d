package slurm

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRequestArgs(t *testing.T) {
	t.Parallel()
	r := Request{Time: "1-0", Account: "g1", Partition: "debug", QOS: "q", Nodes: "2-4", Nodelist: "nid[1-2]", GPUs: "a100:2",
		Mem: "4G", Constraint: "a|b", Reservation: "r", Extra: []string{"--exclusive", "--comment=two words"}}
	want := []string{"--time=1-0", "--account=g1", "--partition=debug", "--qos=q", "--nodes=2-4", "--nodelist=nid[1-2]",
		"--gpus=a100:2", "--mem=4G", "--constraint=a|b", "--reservation=r", "--exclusive", "--comment=two words"}
	if diff := cmp.Diff(want, r.Args()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := (Request{}).Args(); len(got) != 0 {
		t.Errorf("an empty request asks for %q", got)
	}
}

// The forms of salloc(1), --time.
func TestCheckTime(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"1", "90", "10:30", "1:00:00", "01:30:00", "2-0", "2-12", "1-12:30", "1-12:30:10", "UNLIMITED", "infinite", "0-1", "0:30", "0", "0:0:0", "0-0"} {
		if err := CheckTime(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "abc", "1h", "1:2:3:4", "-1", "1-", "-", "1:", ":1", "1-2-3", "1.5", "+1", "1:2:3-4", " 1", "99999999999999999999"} {
		if err := CheckTime(s); err == nil {
			t.Errorf("%q is taken for a time", s)
		}
	}
}

// TestTimeSpan: a time span with units becomes a form of Slurm's; that form stays as it is.
func TestTimeSpan(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2h": "02:00:00", "90m": "01:30:00", "1h30m": "01:30:00", "1.5h": "01:30:00", "45s": "00:00:45", "2d": "2-00:00:00", "1d12h": "1-12:00:00",
		"36h": "1-12:00:00", "2H": "02:00:00", "1d0h30m": "1-00:30:00",
		"30": "30", "2:00": "2:00", "1-12": "1-12", "UNLIMITED": "UNLIMITED", "0": "0",
	} {
		got, err := ParseTime(in)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
		if err == nil && CheckTime(got) != nil {
			t.Errorf("%q became %q, which Slurm does not take", in, got)
		}
	}
	for _, in := range []string{"", "h", "d", "0h", "0d", "-1h", "2 h", "1h-2", "2hours", "soon", "1d1d", "99999999999d", "1h1d", "+1h", "NaNh", "1e9h"} {
		if got, err := ParseTime(in); err == nil {
			t.Errorf("%q was taken as %q", in, got)
		}
	}
	if limit, ok := (Request{Time: "02:00:00"}).TimeLimit(); !ok || limit != 2*time.Hour {
		t.Errorf("02:00:00 is %v, %v", limit, ok)
	}
}

// TestMinutesAndSeconds: Slurm reads two numbers as minutes and seconds, and the warning names what was
// probably meant.
func TestMinutesAndSeconds(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"2:00":  {"2 minutes", "2:00:00", "2h"},
		"1:30":  {"1 minute and 30 seconds", "1:30:00", "1h30m"},
		"12:05": {"12 minutes and 5 seconds", "12:05:00", "12h5m"},
		"0:30":  {"0 minutes and 30 seconds", "0:30:00", "30m"},
	} {
		got := DoubtTime(in)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%q: %q lacks %q", in, got, w)
			}
		}
	}
	for _, in := range []string{"", "30", "2:00:00", "1-2:00", "2h", "UNLIMITED"} {
		if got := DoubtTime(in); got != "" {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason, plain string
		never         bool
	}{
		{"Resources", "waiting for nodes to become free", false},
		{"PartitionTimeLimit", "the time limit is longer than the partition allows", true},
		{"ReqNodeNotAvail, UnavailableNodes:nid001001", "a node that was asked for is not available, or a maintenance is near", false},
		{"AssocGrpGRES", "the account uses as much as it may: waiting for other jobs of it to end", false},
		{"AssocGrpCPURunMinutesLimit", "the account uses as much as it may: waiting for other jobs of it to end", false},
		{"AssocGrpCPUMinutesLimit", "the budget of the account is used up, or too small for what the job asks for", true},
		{"QOSMaxJobsPerUserLimit", "the QOS allows you no more at a time: waiting for your other jobs to end", false},
		{"QOSMaxWallDurationPerJobLimit", "more than the QOS allows for one job", true},
		{"QOSMinGRES", "qosmin gres", true},
		{"JobHeldUser", "held by its user: scontrol release 7 lets it go", false},
		{"SomethingNew", "something new", false},
		{"", "", false},
	} {
		if got := ExplainReason(c.reason, "7"); got != c.plain {
			t.Errorf("%s: %q", c.reason, got)
		}
		if got := NeverStarts(c.reason); got != c.never {
			t.Errorf("%s never starts: %v", c.reason, got)
		}
	}
}
