//go:build lab

package e2e

import (
	"testing"
)

// TestRefusals: every refusal of Slurm is one clear line with Slurm's own
// words, and exit code 4. What could never start is not waited for.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
		says  []string
	}{
		{"partition", []string{"--partition", "nosuch"}, []string{"invalid partition name specified"}},
		// It may come up again: what is told is why the job waited in vain.
		{"partition-down", []string{"--partition", "down", "--queue-timeout", "2s"}, []string{"the partition is down"}},
		{"time-limit", []string{"--partition", "debug", "--time", "2:00:00"}, []string{"time"}},
		{"node-limit", []string{"--nodes", "99"}, []string{"node"}},
		{"node-name", []string{"--nodelist", "nid999999"}, []string{"invalid node name specified"}},
		{"memory", []string{"--mem", "900G"}, []string{"memory"}},
		{"gpus", []string{"--gpus", "77"}, []string{"requested node configuration is not available"}},
		{"constraint", []string{"--constraint", "nosuch"}, []string{"invalid feature specification"}},
		{"reservation", []string{"--reservation", "nosuch"}, []string{"reservation"}},
		{"option", []string{"--slurm=--nosuch=1"}, []string{"unrecognized option", "--nosuch"}},
		{"time-malformed", []string{"--slurm=--time=never"}, []string{"--time"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			s := serve(t, c.flags)
			e := s.failure(4)
			says(t, e.Message, c.says...)
			if _, granted := s.find("granted"); granted {
				t.Error("granted, and yet refused")
			}
		})
	}
}

// TestRefusedByQueueTimeout: a queue that is full of others' jobs is waited
// for, and given up at --queue-timeout. (This lab has no accounting, so Slurm takes
// any account and QOS: those refusals are in accounting_test.go.)
func TestRefusedByQueueTimeout(t *testing.T) {
	begin(t)
	settle(t)
	occupy(t, "mallory", "-N", "3")
	s := serve(t, []string{"--queue-timeout", "3s"})
	q := s.wait("queued")
	if q.Reason == "" {
		t.Error("queued without a reason")
	}
	says(t, s.failure(4).Message, q.Job)
}

// TestRefusedWhileQueued: somebody else cancels the request.
func TestRefusedWhileQueued(t *testing.T) {
	begin(t)
	settle(t)
	occupy(t, "mallory", "-N", "3")
	s := serve(t, nil)
	q := s.wait("queued")
	output(t, "root", "daint", "scancel", q.Job)
	says(t, s.failure(4).Message, "cancel")
}

// TestMainQueued: a request that waits goes on by itself when there is room,
// and has told why it waited.
func TestMainQueued(t *testing.T) {
	begin(t)
	settle(t)
	job := occupy(t, "mallory", "-N", "3")
	s := serve(t, nil)
	q := s.wait("queued")
	says(t, q.Reason, "node")
	cancelJob(t, job)
	if g := s.wait("granted"); g.Job != q.Job {
		t.Errorf("queued as job %s, granted as %s", q.Job, g.Job)
	}
	s.ready()
	closeReady(t, s)
}
