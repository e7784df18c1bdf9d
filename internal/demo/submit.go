package demo

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alps-tunnel/cscs/slurm"
)

// submit: asks for the allocation, and follows.
func (k *call) submit() {
	defer k.listen()()
	if k.Get("bootstrap") != "" {
		k.say("exited", "reason=setup", "code=", "message=--bootstrap installs nothing on the nodes of the demo, which are this machine")
		return
	}
	if what := k.lookAhead(); what != "" {
		k.say("exited", "reason=setup", "code=", "message="+what+" on "+shortName(k.host))
		return
	}
	s, err := k.c.open(k.Asked)
	if err != nil {
		k.fail("home", err.Error())
		return
	}
	k.hello(s.dir)
	program, via := "sbatch", slurm.Via(k.Get("via"))
	if via != slurm.ViaSbatch && k.Get("unattended") == "" {
		program = "salloc"
	}
	r, refusal := parseRequest(program, k.List("salloc_args"))
	if refusal != "" {
		s.remove()
		k.say("refused", append([]string{"by=" + program, "code=1", "message=" + refusal}, offer()...)...)
		return
	}
	k.c.note(s.id, k.host, "Slurm is asked for a node: "+strings.Join(append([]string{program}, k.List("salloc_args")...), " "))
	j := k.c.ctl.submit(slurm.JobName(s.id), r, func(j *job) { k.c.start(s, j) })
	waits := k.c.ctl.look(j).state == "PENDING"
	kept := program == "sbatch" || waits && via == slurm.ViaAuto
	s.change(func() { s.job, s.kept = j, kept })
	if kept && program == "salloc" {
		k.c.note(s.id, k.host, "It has to wait, so sbatch asks instead")
	}
	switch {
	case kept:
		k.say("pending", "job="+j.number(), "kept=1")
	case waits:
		k.say("pending", "job="+j.number())
	}
	k.follow(s, 0, false)
}

// offer is what there is, as fields of a refusal.
func offer() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(partitions)) {
		up, mark := "up", ""
		if name == downPartition {
			up = "down"
		}
		if name == defaultPartition {
			mark = "*"
		}
		minutes := int(partitions[name].Minutes())
		all = append(all, fmt.Sprintf("partition=%s%s|%s|%d-%02d:%02d:00|%d|0", name, mark, up, minutes/1440, minutes/60%24, minutes%60, len(nodeNames)))
	}
	return all
}

// lookAhead says what the node would not find.
func (k *call) lookAhead() string {
	plan, ok, err := planAhead(k.Asked)
	switch {
	case err != nil:
		return err.Error()
	case !ok:
		return ""
	}
	work := k.c.expand(plan.workdir)
	if info, err := os.Stat(work); err != nil || !info.IsDir() {
		return "the work directory " + plan.workdir + " is not there"
	}
	if plan.venv != "" {
		if _, err := os.Stat(filepath.Join(absolute(work, k.c.expand(plan.venv)), venvPrograms)); err != nil {
			return fmt.Sprintf("there is no virtual environment in %s (no %s)", plan.venv, venvPrograms)
		}
	}
	for _, f := range plan.reads {
		if _, err := os.Stat(absolute(work, k.c.expand(f))); err != nil {
			k.say("note", "message="+f+" is not there on "+shortName(k.host)+": there is nothing to show until it is")
		}
	}
	return ""
}

// expand replaces a leading ~ by the user's home on this machine: what is named by it is
// there. Empty is the cluster's home.
func (c *Cluster) expand(path string) string {
	if path == "" {
		return c.home()
	}
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		if home, err := os.UserHomeDir(); err == nil {
			return home + rest
		}
	}
	return absolute(c.home(), path)
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// takeUp is follow by itself: a client has come back.
func (k *call) takeUp() {
	defer k.listen()()
	s := k.session()
	if s == nil {
		k.gone()
		return
	}
	k.hello(s.dir)
	s.mu.Lock()
	j := s.job
	s.mu.Unlock()
	granted := k.Get("granted") != ""
	if j != nil && !granted {
		k.say("pending", "job="+j.number(), "kept=1")
	}
	k.follow(s, k.Int("from"), granted)
}

// gone: the session's directory is not there any more. Without a job, a stop has been here.
func (k *call) gone() {
	if len(k.c.ctl.named(slurm.JobName(k.Get("id")))) == 0 {
		k.say("exited", "reason=asked", "code=", "message=")
		return
	}
	k.say("gone")
}
