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

// submitAndFollow answers the verb submit: it requests the allocation, and follows the session.
func (k *call) submitAndFollow() {
	defer k.startLineReader()()
	if k.Get("bootstrap") != "" {
		k.writeLine("exited", "reason=setup", "code=", "message=--bootstrap installs nothing on the nodes of the demo, which are this machine")
		return
	}
	if what := k.checkFiles(); what != "" {
		k.writeLine("exited", "reason=setup", "code=", "message="+what+" on "+shortName(k.host))
		return
	}
	s, err := k.c.createSession(k.ParsedCall)
	if err != nil {
		k.writeError("home", err.Error())
		return
	}
	k.writeHello(s.dir)
	program, via := "sbatch", slurm.Via(k.Get("via"))
	if via != slurm.ViaSbatch && k.Get("unattended") == "" {
		program = "salloc"
	}
	r, refusal := parseRequest(program, k.List("salloc_args"))
	if refusal != "" {
		s.remove()
		var partitionFields []string
		for _, p := range describePartitions() {
			partitionFields = append(partitionFields, "partition="+p+"|0")
		}
		k.writeLine("refused", append([]string{"by=" + program, "code=1", "message=" + refusal}, partitionFields...)...)
		return
	}
	k.c.recordStep(s.id, k.host, "Slurm is asked for a node: "+strings.Join(append([]string{program}, k.List("salloc_args")...), " "))
	j := k.c.ctl.submitJob(slurm.JobName(s.id), r, func(j *job) { k.c.startRunner(s, j) })
	waits := k.c.ctl.snapshotJob(j).state == "PENDING"
	kept := program == "sbatch" || waits && via == slurm.ViaAuto
	s.updateAndNotify(func() { s.job, s.kept = j, kept })
	if kept && program == "salloc" {
		k.c.recordStep(s.id, k.host, "It has to wait, so sbatch asks instead")
	}
	switch {
	case kept:
		k.writeLine("pending", "job="+j.idString(), "kept=1")
	case waits:
		k.writeLine("pending", "job="+j.idString())
	}
	k.followEvents(s, 0, false)
}

// describePartitions returns sinfo's name, availability, time limit and number of nodes of each partition.
func describePartitions() []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(partitions)) {
		up, mark := "up", ""
		switch name {
		case downPartition:
			up = "down"
		case defaultPartition:
			mark = "*"
		}
		minutes := int(partitions[name].Minutes())
		all = append(all, fmt.Sprintf("%s%s|%s|%d-%02d:%02d:00|%d", name, mark, up, minutes/1440, minutes/60%24, minutes%60, len(nodeNames)))
	}
	return all
}

// checkFiles returns what the node would not find, or "".
func (k *call) checkFiles() string {
	plan, ok, err := planAhead(k.ParsedCall)
	switch {
	case err != nil:
		return err.Error()
	case !ok:
		return ""
	}
	work := k.c.expandPath(plan.workdir)
	if info, err := os.Stat(work); err != nil || !info.IsDir() {
		return "the work directory " + plan.workdir + " does not exist"
	}
	if plan.venv != "" {
		if _, err := os.Stat(filepath.Join(absolutePath(work, k.c.expandPath(plan.venv)), venvPrograms)); err != nil {
			return fmt.Sprintf("there is no virtual environment in %s (no %s)", plan.venv, venvPrograms)
		}
	}
	for _, f := range plan.reads {
		if _, err := os.Stat(absolutePath(work, k.c.expandPath(f))); err != nil {
			k.writeLine("note", "message="+f+" does not exist on "+shortName(k.host)+": there is nothing to show until it does")
		}
	}
	return ""
}

// expandPath replaces a leading ~ by the user's home on this machine, where the named files are.
// An empty path is the cluster's home.
func (c *Cluster) expandPath(path string) string {
	if path == "" {
		return c.homeDir()
	}
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		if home, err := os.UserHomeDir(); err == nil {
			return home + rest
		}
	}
	return absolutePath(c.homeDir(), path)
}

func absolutePath(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// takeUp answers the verb follow, for a client that has come back.
func (k *call) takeUp() {
	defer k.startLineReader()()
	s := k.findSession()
	if s == nil {
		k.reportGone()
		return
	}
	k.writeHello(s.dir)
	j, granted := s.theJob(), k.Get("granted") != ""
	if j != nil && !granted {
		k.writeLine("pending", "job="+j.idString(), "kept=1")
	}
	k.followEvents(s, k.Int("from"), granted)
}

// reportGone reports that the session's directory is gone. If no job is active either, a stop has
// removed it.
func (k *call) reportGone() {
	if len(k.c.ctl.activeJobsNamed(slurm.JobName(k.Get("id")))) == 0 {
		k.writeLine("exited", "reason=asked", "code=", "message=")
		return
	}
	k.writeLine("gone")
}
