package slurm

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

func TestFindRunner(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	var remote *RemoteError
	if _, err := FindRunner(t.Context(), f, "nosuchid"); !errors.As(err, &remote) || remote.Kind != "gone" {
		t.Errorf("of no session: %v", err)
	}
	waiting := putSession(t, f, "waitinga", 0)
	if r, err := FindRunner(t.Context(), f, "waitinga"); err != nil || r.Up || r.Over {
		t.Errorf("of one that waits: %+v, %v", r, err)
	}
	if err := os.RemoveAll(waiting); err != nil {
		t.Fatal(err)
	}

	id := testID(t)
	r := submit(t.Context(), t, f, &Submission{ID: id, Lease: time.Minute, Launch: Launch{Argv: serverArgv("127.0.0.1")}})
	alive, scanned := await[Alive](r), await[Scanned](r)
	if want := []string{slurmtest.HostKey}; !slices.Equal(scanned.HostKeys, want) {
		t.Errorf("sshd shows %q, found %q", want, scanned.HostKeys)
	}
	got, err := FindRunner(t.Context(), f, id)
	if err != nil || !got.Up || got.Over || got.Name != "nid001001" || got.Job != "4711" || !slices.Equal(got.HostKeys, append(alive.HostKeys, scanned.HostKeys...)) {
		t.Errorf("got %+v, %v", got, err)
	}
	r.letGo()
	if f, err := os.OpenFile(filepath.Join(f.Home, ".cscs", "fake", id, "events"), os.O_APPEND|os.O_WRONLY, 0); err != nil {
		t.Error(err)
	} else if _, err := f.WriteString("exited\treason=exit\tcode=0\n"); err != nil || f.Close() != nil {
		t.Error(err)
	}
	if got, err := FindRunner(t.Context(), f, id); err != nil || got.Up || !got.Over {
		t.Errorf("of one that has ended: %+v, %v", got, err)
	}
	stopFake(t, f, Stopping{ID: id})
}

// TestLastToEnd: the step that leads to a node is asked for in the job that stays there longest.
func TestLastToEnd(t *testing.T) {
	t.Parallel()
	now := time.Now()
	soon, late, never := JobInfo{ID: "1", Ends: now}, JobInfo{ID: "2", Ends: now.Add(time.Hour)}, JobInfo{ID: "3"}
	for _, tt := range []struct {
		jobs []JobInfo
		want string
	}{
		{nil, ""},
		{[]JobInfo{late, soon}, "2"},
		{[]JobInfo{soon, late}, "2"},
		{[]JobInfo{soon, never, late}, "3"},
	} {
		if got := (Node{Jobs: tt.jobs}).LastToEnd().ID; got != tt.want {
			t.Errorf("of %v: %q", tt.jobs, got)
		}
	}
}
