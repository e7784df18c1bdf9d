package slurm

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
)

// keptPresets are the variables that reach a command of cscs. All others that Slurm's commands
// know are unset for it.
func keptPresets(command string) []string {
	kept := strings.Fields("SLURM_CONF SLURM_CONF_SERVER SLURM_JWT SLURM_SACK_JWKS SLURM_SACK_KEY SLURM_SACK_SOCKET")
	prefix := map[string]string{"salloc": "SALLOC_", "sbatch": "SBATCH_"}[command]
	if prefix == "" {
		return kept
	}
	kept = append(kept, "SLURM_HINT", "SLURM_HOSTFILE")
	lasting := strings.Fields(`ACCOUNT ACCTG_FREQ BURST_BUFFER CLUSTER_CONSTRAINT CONSOLIDATE_SEGMENTS CONSTRAINT CORE_SPEC CPUS_PER_GPU CPU_FREQ_REQ
		DELAY_BOOT EXCLUSIVE GPUS GPUS_PER_NODE GPUS_PER_SOCKET GPUS_PER_TASK GPU_BIND GPU_FREQ GRES GRES_FLAGS HINT MEM_BIND MEM_PER_CPU
		MEM_PER_GPU MEM_PER_NODE NETWORK OVERCOMMIT PARTITION POWER PROFILE QOS REQ_SWITCH RESERVATION SEGMENT_SIZE SPREAD_JOB SPREAD_SEGMENTS
		THREADS_PER_CORE THREAD_SPEC TIMELIMIT TRES_BIND TRES_PER_TASK USE_MIN_NODES WAIT4SWITCH WAIT_ALL_NODES WCKEY`)
	if command == "sbatch" {
		lasting = append(lasting, "BATCH", "DISTRIBUTION")
	}
	for _, v := range lasting {
		kept = append(kept, prefix+v)
	}
	slices.Sort(kept)
	return kept
}

// TestPresetsOfCommands: of all variables that a command of Slurm's reads in some release, only
// those that were decided on reach it.
func TestPresetsOfCommands(t *testing.T) {
	t.Parallel()
	reads := map[string][]string{} // by command
	var all []string
	for _, f := range factLines(t, "testdata/variables.txt") {
		reads[f[1]] = append(reads[f[1]], f[0])
		all = append(all, f[0]+"=preset")
	}
	bin := t.TempDir()
	for command, run := range map[string]string{
		"squeue": "squeue", "sinfo": "sinfo", "scancel": "scancel", "scontrol": "scontrol", "sacctmgr": "sacctmgr",
		"sbatch": "cscs_via=sbatch; cscs_presets; exec sbatch",
		"salloc": "cscs_unset_request_presets; exec salloc",
		"srun":   "cscs_job=1; cscs_srun",
	} {
		if err := os.WriteFile(filepath.Join(bin, command), []byte("#!/bin/sh\nexec env\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Run(command, func(t *testing.T) {
			cmd := bashCommand(t, script()+"\n"+run)
			cmd.Env = append(slices.Clone(all), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var got []string
			for line := range strings.Lines(string(out)) {
				name, _, _ := strings.Cut(strings.TrimSpace(line), "=")
				if slices.Contains(reads[command], name) || slices.Contains(reads["any"], name) {
					got = append(got, strings.TrimSpace(line))
				}
			}
			slices.Sort(got)
			got = slices.Compact(got)
			var want []string
			for _, v := range keptPresets(command) {
				want = append(want, v+"=preset")
			}
			if run == command { // one that asks
				want = append(want, "SLURM_TIME_FORMAT=%s")
				for _, v := range []string{"SQUEUE_ALL", "SCONTROL_ALL", "SINFO_ALL"} {
					if slices.Contains(reads[command], v) {
						want = append(want, v+"=1") // what is hidden counts as gone
					}
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPresetsReachTheServer: the server and its --setup have the user's presets, of which srun has
// got none.
func TestPresetsReachTheServer(t *testing.T) {
	t.Parallel()
	bin, err := filepath.Abs("../internal/slurmtest/bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range [][]string{nil, {"--uenv=x"}} {
		f := slurmtest.New(t, "SLURM_LABELIO=1", "SLURM_JOB_ID=1", "SLURM_WORKING_DIR=it's\nmine", "SRUN_CONTAINER=x", "SLURM_CLUSTERS=nosuch")
		id := testID(t)
		r := submit(t.Context(), t, f, &Submission{ID: id, Launch: Launch{
			Argv: serverArgv("127.0.0.1"), Step: step,
			Setup: []string{`printf '%s|' "$SLURM_LABELIO" "$SLURM_JOB_ID" "$SLURM_WORKING_DIR" "$SRUN_CONTAINER" "$SLURM_CLUSTERS" "$SQUEUE_FORMAT" "$SLURM_TIME_FORMAT"`, "PATH=" + bin + ":$PATH", "squeue"},
		}})
		await[Listening](r)
		r.letGo()
		r.wait()
		log, _ := stopFake(t, f, Stopping{ID: id, Step: "4711.0"})
		// What describes the job is Slurm's.
		if want := "1|4711|it's\nmine|x|nosuch|%i only|relative|"; !strings.Contains(log, want) {
			t.Errorf("step %v: log:\n%s\nwants:\n%s", step, log, want)
		}
		if n := strings.Count(f.Calls(), "SQUEUE_FORMAT reached squeue"); n != 1 {
			t.Errorf("step %v: squeue ran %d times with the user's format, want once, by --setup; calls:\n%s", step, n, f.Calls())
		}
	}
}
