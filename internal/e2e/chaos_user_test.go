//go:build unix

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// userSetup is what the user of a round has on the laptop and on the cluster. It is drawn beside the faults, and
// no fault changes it.
type userSetup struct {
	startup   startupFile // with the login shell
	umask     string      // that the start-up file sets; "" if it leaves it
	atLogin   bool        // it sets the umask on the login node alone, and the session has to carry it
	presets   []string    // variables for Slurm's commands that it exports
	partition string      // that it presets, in place of --partition; "" if it does not
	software  software
	keys      keySetup
}

// keySetup is where the user's key is.
type keySetup string

const (
	keySigned    keySetup = "signed key in ~/.ssh/cscs-key"
	keyEncrypted keySetup = "encrypted key, opened in the agent"
	keyInAgent   keySetup = "key in the agent alone"
	keyBeside    keySetup = "certificate cscs-key-cert.pub beside id_ed25519"
	keyOthers    keySetup = "key of another authority in the agent beside ours"
	keyMaster    keySetup = "ssh of the user's with a ControlMaster"
)

// keySetups hold each as often as it is to be drawn.
var keySetups = []keySetup{keySigned, keySigned, keySigned, keyEncrypted, keyInAgent, keyBeside, keyOthers, keyMaster}

// hasAgent reports whether the user has an agent, without which there is no key.
func (k keySetup) hasAgent() bool { return k == keyEncrypted || k == keyInAgent || k == keyOthers }

// umasks of start-up files; "" leaves it, at 022.
var umasks = []string{"", "", "022", "027", "002", "077"}

// ownUmasks are those of start-up files that set one anyway.
var ownUmasks = map[string]string{"umask-and-hup": "077"}

// sitePresets are what the site's /etc/profile sets: it comes after all start-up files that are no login shell's.
var sitePresets = []string{"SQUEUE_FORMAT", "SINFO_FORMAT", "SLURM_TIME_FORMAT"}

// lastingPresets hold for a session (cscs_lasting_presets), and each is a change that it must survive.
var lastingPresets = []string{"SBATCH_TIMELIMIT=20", "SALLOC_TIMELIMIT=20", "SBATCH_HINT=nomultithread", "SALLOC_WAIT_ALL_NODES=1"}

// morePresets are common and harmless, but cscs would misread what they make of the output.
var morePresets = []string{"SQUEUE_FORMAT=%i %T", "SINFO_FORMAT=%n", "SALLOC_EXPORT=NONE"}

// slurmPresets are those of presets with SLURM_ that a start-up file may set. The others tell of an allocation, and
// Slurm itself sets them.
var slurmPresets = []string{"SLURM_CLUSTERS", "SLURM_EXIT_ERROR", "SLURM_EXIT_IMMEDIATE", "SLURM_LABELIO", "SLURM_STDOUTMODE", "SLURM_STDERRMODE", "SLURM_STDINMODE",
	"SLURM_OPEN_MODE", "SLURM_UNBUFFEREDIO", "SLURM_DEBUG", "SLURM_DEBUG_FLAGS", "SLURM_TIME_FORMAT", "SLURM_BITSTR_LEN", "SLURM_CPU_BIND", "SLURM_MEM_BIND",
	"SLURM_EXACT", "SLURM_PROLOG", "SLURM_EPILOG", "SLURM_TASK_PROLOG", "SLURM_TASK_EPILOG", "SLURM_KILL_BAD_EXIT", "SLURM_WAIT", "SLURM_TEST_EXEC"}

// presetsOf are those that a round may draw. submits: its server submits a job by the user's own sbatch, which must
// not be bent by them.
func presetsOf(submits bool) []string {
	var fit []string
	for _, v := range slices.Concat(presets, morePresets, lastingPresets) {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case strings.HasPrefix(name, "SLURM_") && !slices.Contains(slurmPresets, name):
		case name == "SLURMD_DEBUG", name == "SRUN_CPUS_PER_TASK": // Slurm sets them, too
		case submits && (strings.HasPrefix(name, "SBATCH_") || name == "SLURM_CLUSTERS"):
		default:
			fit = append(fit, v)
		}
	}
	return fit
}

// drawUser draws what the user of a round has. Each part has numbers of its own: a new part changes no other of a
// seed, and the faults of a seed stay what they are. submits: the session's server submits a job; partition is
// the session's.
func drawUser(seed uint64, n int, submits bool, partition string) userSetup {
	numbers := func(part uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(n)|part<<32)) }
	u := userSetup{startup: drawStartup(numbers(1)), software: drawSoftware(numbers(2), submits), keys: drawOne(numbers(4), keySetups)}
	if u.umask = ownUmasks[u.startup.name]; u.umask == "" {
		u.umask = drawOne(numbers(3), umasks)
	}
	u.atLogin = u.umask != "" && ownUmasks[u.startup.name] == "" && numbers(6).IntN(2) == 0
	r := numbers(5)
	if r.IntN(2) == 0 {
		fit := presetsOf(submits)
		r.Shuffle(len(fit), func(i, j int) { fit[i], fit[j] = fit[j], fit[i] })
		u.presets = fit[:1+r.IntN(6)]
		if r.IntN(3) == 0 {
			u.partition = partition
			u.presets = append(u.presets, "SBATCH_PARTITION="+partition, "SALLOC_PARTITION="+partition)
		}
	}
	return u
}

func drawOne[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// drawStartup draws one of the start-up files with which a session works, or none.
func drawStartup(r *rand.Rand) startupFile {
	fit := []startupFile{{}}
	for _, s := range startupFiles {
		// fish, and one of the files, write into the home; the limits are too low for the traffic.
		if s.want == "" && s.shell != "fish" && s.name != "bash-env" && s.name != "limits" {
			fit = append(fit, s)
		}
	}
	return drawOne(r, fit)
}

// drawSoftware draws the bare node in half of the rounds, or a little more. A container has no sbatch, so a server that
// submits a job is in none.
func drawSoftware(r *rand.Rand, submits bool) software {
	k := r.IntN(10)
	container, uenv := drawOne(r, containers), drawOne(r, uenvs)
	switch {
	case k < 4 && !submits:
		return container
	case k < 3, k == 4:
		return uenv
	}
	return software{dir: bareHome}
}

// file is the start-up file with umask and presets, which come first: some files return early. It has no
// name if there is nothing to write.
func (u userSetup) file() startupFile {
	s := u.startup
	text := ""
	switch {
	case u.atLogin && s.shell == "tcsh":
		text += "if (! $?SLURM_JOB_ID) umask " + u.umask + "\n"
	case u.atLogin:
		text += "[ -n \"${SLURM_JOB_ID-}\" ] || umask " + u.umask + "\n"
	case u.umask != "":
		text += "umask " + u.umask + "\n"
	}
	for _, v := range u.presets {
		name, value, _ := strings.Cut(v, "=")
		if s.shell == "tcsh" {
			text += "setenv " + name + " '" + value + "'\n"
		} else {
			text += "export " + name + "='" + value + "'\n"
		}
	}
	if s.name == "" {
		if text == "" {
			return s
		}
		s = startupFile{name: "plain", shell: "bash", file: ".bashrc"}
	}
	s.text = text + s.text
	return s
}

// modes are those of a file and of a directory that the user's programs make without more.
func (u userSetup) modes() string {
	mask, err := strconv.ParseUint(u.umask, 8, 32)
	if u.umask == "" || err != nil {
		mask = 0o022
	}
	return fmt.Sprintf("%04o %04o", 0o666&^mask, 0o777&^mask)
}

// reach are the presets that the server has to have as they are. What the site's /etc/profile sets, too, the
// user's last word is only in a login shell's own file.
func (u userSetup) reach() []string {
	return slices.DeleteFunc(slices.Clone(u.presets), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(sitePresets, name) && u.file().file != both
	})
}

// kinds are what a run counts of it.
func (u userSetup) kinds() []string {
	kinds := []string{string(u.keys)}
	if u.startup.name != "" {
		kinds = append(kinds, "start-up file of "+u.startup.shell)
	}
	if u.umask != "" {
		kinds = append(kinds, "umask "+u.umask)
	}
	if len(u.presets) > 0 {
		kinds = append(kinds, "presets")
	}
	if u.partition != "" {
		kinds = append(kinds, "partition by preset")
	}
	switch {
	case u.software.image != "":
		kinds = append(kinds, "EDF")
	case u.software.name != "":
		kinds = append(kinds, "uenv")
	}
	return kinds
}

// words tell of it in the line of a round.
func (u userSetup) words() []string {
	var words []string
	if u.startup.name != "" {
		words = append(words, "start-up file "+u.startup.name+" of "+u.startup.shell)
	}
	if u.umask != "" {
		words = append(words, "umask "+u.umask)
	}
	if u.atLogin {
		words = append(words, "on the login node alone")
	}
	for _, v := range u.presets {
		words = append(words, "preset "+v)
	}
	if u.software.name != "" {
		words = append(words, u.software.name)
	}
	if u.keys != keySigned {
		words = append(words, string(u.keys))
	}
	return words
}
