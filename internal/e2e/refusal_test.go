//go:build lab

package e2e

import (
	"testing"
)

// TestRefusals: every refusal of Slurm is one clear line with Slurm's own
// words, and exit code 4. What could never start is not waited for.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		flags   []string
		problem string
		says    []string
		hints   []string
	}{
		{"partition", []string{"--partition", "nosuch"}, "slurm-refused", []string{"invalid partition name specified"}, []string{"normal", "debug"}},
		{"partition-misspelt", []string{"--partition", "nromal"}, "slurm-refused", []string{"invalid partition name specified"}, []string{"--partition normal"}},
		// It may come up again: what is told is why the job waited in vain.
		{"partition-down", []string{"--partition", "down", "--queue-timeout", "4s"}, "queue-timeout", []string{"the partition is down"}, nil},
		{"time-limit", []string{"--partition", "debug", "--time", "2:00:00"}, "never-starts", []string{"time"}, []string{"debug", "30 min"}},
		{"node-limit", []string{"--nodes", "99"}, "slurm-refused|never-starts", []string{"node"}, []string{"3 nodes"}},
		{"node-name", []string{"--nodelist", "nid999999"}, "slurm-refused", []string{"invalid node name specified"}, nil},
		{"memory", []string{"--mem", "900G"}, "slurm-refused", []string{"memory"}, []string{"8000M"}},
		{"gpus", []string{"--gpus", "77"}, "slurm-refused", []string{"requested node configuration is not available"}, nil},
		{"constraint", []string{"--constraint", "nosuch"}, "slurm-refused", []string{"invalid feature specification"}, nil},
		{"reservation", []string{"--reservation", "nosuch"}, "slurm-refused", []string{"reservation"}, nil},
		{"option", []string{"--slurm=--nosuch=1"}, "slurm-refused", []string{"unrecognized option", "--nosuch"}, nil},
		{"time-malformed", []string{"--slurm=--time=never"}, "slurm-refused", []string{"--time"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin(t)
			s := serve(t, c.flags)
			e := s.failure(4, c.problem)
			says(t, e.Message, c.says...)
			says(t, e.Hint, c.hints...)
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
	says(t, s.failure(4, "queue-timeout").Message, q.Job)
}

// TestRefusedWhileQueued: somebody else cancels the request.
func TestRefusedWhileQueued(t *testing.T) {
	begin(t)
	settle(t)
	occupy(t, "mallory", "-N", "3")
	s := serve(t, nil)
	q := s.wait("queued")
	output(t, "root", "daint", "scancel", q.Job)
	says(t, s.failure(4, "job-ended").Message, "cancel")
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
