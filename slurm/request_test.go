package slurm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequestArgs(t *testing.T) {
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

func TestReasons(t *testing.T) {
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
