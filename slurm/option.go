package slurm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// argument states whether an option takes a value, in the terms of getopt_long(3).
type argument int

const (
	noArgument argument = iota
	requiredArgument
	optionalArgument // only in the same word: --nice=5
)

// An option is an option of salloc(1) or sbatch(1).
type option struct {
	long     string
	short    byte // 0: none
	argument argument
	refusal  string // why the user must not set it, and what to use instead; "": allowed
}

// Reasons of several options.
const (
	allocatesNothing = "it allocates nothing"
	setByCscs        = "cscs sets it itself"
	ownOutput        = "the job's script is cscs's own; cscs logs prints the server's output"
	ownEnvironment   = "cscs passes the environment on itself: set a variable with --env NAME=VALUE"
	ownContainer     = "it would run the script of cscs in the container: use --environment or --uenv"
	ownUser          = "a session belongs to the user who logs in: use --user"
	oneCluster       = "name the other cluster with --cluster"
)

// options are all options of salloc and sbatch, from 22.05 to 26.05 (testdata/options.txt), in the
// form of parseOptions. The user may set what describes the job's resources, time or accounting.
// --hold is allowed because cscs reports why the job waits, and --verbose because cscs finds the
// lines that it needs in what salloc prints. From 26.05 on, --requeue takes a value.
var options = parseOptions(`
	A/account: acctg-freq: a/array: autocomplete: batch: bb: bbf: b/begin: bell D/chdir:
	cluster: cluster-constraint: M/clusters: comment: consolidate-segments C/constraint:
	container: container-id: container-type: context: contiguous S/core-spec: cores-per-socket:
	cpu-freq: cpus-per-gpu: c/cpus-per-task: deadline: delay-boot: d/dependency: m/distribution:
	e/error: x/exclude: exclusive:: export: export-file: external extra: B/extra-node-info:
	get-user-env:: gid: gpu-bind: gpu-freq: G/gpus: gpus-per-node: gpus-per-socket:
	gpus-per-task: gres: gres-flags: h/help hint: H/hold ignore-pbs I/immediate:: i/input:
	J/job-name: K/kill-command:: kill-on-invalid-dep: L/licenses: mail-type: mail-user:
	mcs-label: mem: mem-bind: mem-per-cpu: mem-per-gpu: mem-update: mincpus: network: nice::
	no-bell k/no-kill:: no-requeue no-shell F/nodefile: w/nodelist: N/nodes: n/ntasks:
	ntasks-per-core: ntasks-per-gpu: ntasks-per-node: ntasks-per-socket: ntasks-per-tres:
	oom-kill-step:: open-mode: o/output: O/overcommit s/oversubscribe parsable p/partition:
	power: prefer: priority: profile: propagate:: q/qos: Q/quiet reboot requeue:: reservation:
	resources: resv-ports:: segment: signal: sockets-per-node: spread-job spread-segments
	stepmgr switches: tasks-per-node: test-only thread-spec: threads-per-core: t/time: time-min:
	tmp: tres-bind: tres-per-task: uid: usage use-min-nodes v/verbose V/version W/wait
	wait-all-nodes: wckey: wrap: x11::`)

// stepOptions are options of plugins for the server's step: those of uenv and of containers.
var stepOptions = parseOptions("container-workdir: environment: no-default-view repo: uenv-passthrough:")

// refusals tells for some options why the user must not set them, and what to use instead. They
// hide the job from cscs, run something else, or end the processes of cscs in the job.
var refusals = map[string]string{
	"array":          "a session is one job",
	"autocomplete":   allocatesNothing,
	"chdir":          "name the server's directory with --workdir",
	"cluster":        oneCluster,
	"clusters":       oneCluster,
	"container":      ownContainer,
	"container-id":   ownContainer,
	"container-type": ownContainer,
	"environment":    ownContainer,
	"error":          ownOutput,
	"export":         ownEnvironment,
	"export-file":    ownEnvironment,
	"external":       "such a job runs no script, and cscs starts by one",
	"get-user-env":   ownEnvironment,
	"gid":            ownUser,
	"help":           allocatesNothing,
	"immediate":      "limit the wait with --queue-timeout",
	"input":          ownOutput,
	"job-name":       "cscs finds its job by the name that it gives it",
	// The runner, which guards the job, is on the job's first node.
	"no-kill":   "the job must end with its first node, or nothing guards it",
	"no-shell":  setByCscs,
	"open-mode": ownOutput,
	"output":    ownOutput,
	"parsable":  setByCscs,
	"quiet":     "cscs reads what salloc says",
	"requeue":   "a session's job is not started twice",
	"signal":    "it would end the processes of cscs in the job: shorten --time instead",
	"test-only": allocatesNothing,
	"uid":       ownUser,
	"usage":     allocatesNothing,
	"version":   allocatesNothing,
	"wait":      "cscs waits itself",
	"wrap":      "cscs brings what is to be run",
	"x11":       "salloc, which would carry it, ends at the grant: use X11 forwarding of ssh",
}

// parseOptions parses long options in the form of getopt(1): one colon after a name means a value,
// two an optional value. The option's letter, if it has one, is before the name and a slash.
func parseOptions(text string) []option {
	var all []option
	for word := range strings.FieldsSeq(text) {
		name := strings.TrimRight(word, ":")
		o := option{long: name, argument: argument(len(word) - len(name))}
		if letter, long, ok := strings.Cut(name, "/"); ok {
			o.short, o.long = letter[0], long
		}
		o.refusal = refusals[o.long]
		all = append(all, o)
	}
	return all
}

// isStepOption reports whether word is an option of the server's step. Abbreviations do not count,
// because a site's other options are unknown.
func isStepOption(word string) bool {
	name, _, _ := strings.Cut(word, "=")
	return slices.ContainsFunc(stepOptions, func(o option) bool { return name == "--"+o.long })
}

// SplitOptions separates options of the server's step ([Launch.Step]) from those of the request ([Request.Extra]).
func SplitOptions(words []string) (step, request []string) {
	for _, w := range words {
		if isStepOption(w) {
			step = append(step, w)
		} else {
			request = append(request, w)
		}
	}
	return step, request
}

// CheckOption returns an error if the user must not add word to the request or to the server's
// step. The word is an option, or several short ones. CheckOption reads it as getopt_long(3) does,
// which accepts clustered short options and abbreviated long ones. It accepts unknown long options:
// plugins of the site add some (spank(7)), and Slurm refuses the others.
func CheckOption(word string) error {
	used, err := readOptions(word)
	if err != nil {
		return err
	}
	for _, u := range used {
		if u.refusal == "" {
			continue
		}
		if u.as == "--"+u.long || u.as == "-"+string(u.short) && len(word) == 2 {
			return errors.New(u.refusal)
		}
		return fmt.Errorf("%s may stand for --%s: %s", u.as, u.long, u.refusal)
	}
	return nil
}

// OneWordError reports a blank between an option and its value. It is the only error of CheckOption with a value in it.
type OneWordError struct {
	Option string // up to the value: "--constraint=", "-C"
	Value  string
}

func (e *OneWordError) Error() string {
	return fmt.Sprintf("it must be one word: --slurm='%s%s'", e.Option, e.Value)
}

// OptionWord returns the word for --slurm that sets the option of sbatch or salloc with this long
// name or letter: "--exclusive", "--cpus-per-task=VALUE". It returns false if neither command has
// the option, or if the user must not set it.
func OptionWord(name string) (string, bool) {
	for _, o := range options {
		if o.long != name && (o.short == 0 || name != string(o.short)) || o.refusal != "" {
			continue
		}
		word := "--" + o.long
		if o.argument == requiredArgument {
			word += "=VALUE"
		}
		return word, true
	}
	return "", false
}

// hasOption reports whether word sets one of the options with these long names.
func hasOption(word string, long ...string) bool {
	used, _ := readOptions(word)
	return slices.ContainsFunc(used, func(u usedOption) bool { return slices.Contains(long, u.long) })
}

// A usedOption is an option that a word contains, its spelling there, and its value.
type usedOption struct {
	option
	as    string
	value string
}

// otherNames maps long options to the option that Slurm takes them for (Slurm's slurm_opt.c).
var otherNames = map[string]string{"tasks-per-node": "ntasks-per-node"}

// canonicalOptions returns the options in words that have a value, each as --LONGNAME=VALUE. The
// remote half reads them, and bash has no getopt_long(3). It leaves out unknown options and
// ambiguous abbreviations, which Slurm refuses.
func canonicalOptions(words []string) []string {
	canonical := []string{}
	for _, word := range words {
		used, err := readOptions(word)
		if err != nil || strings.HasPrefix(word, "--") && len(used) > 1 {
			continue
		}
		for _, u := range used {
			if u.value != "" && !isStepOption("--"+u.long) {
				canonical = append(canonical, "--"+cmp.Or(otherNames[u.long], u.long)+"="+u.value)
			}
		}
	}
	return canonical
}

// readOptions returns the options that word contains. For an ambiguous abbreviation, it returns
// every option that it can mean: the choice depends on the command and its release.
func readOptions(word string) ([]usedOption, error) {
	switch {
	case !strings.HasPrefix(word, "-") || word == "-" || word == "--":
		return nil, fmt.Errorf("it must be an option of sbatch or salloc, for example --slurm='--exclusive'")
	case strings.HasPrefix(word, "--"):
		return readLongOption(word)
	}
	return readShortOptions(word)
}

// readLongOption returns the options that word can mean, refused ones first, or an error if word
// lacks a value.
func readLongOption(word string) ([]usedOption, error) {
	name, value, hasValue := strings.Cut(word[2:], "=")
	if n, rest, ok := strings.Cut(name, " "); ok {
		return nil, &OneWordError{Option: "--" + n + "=", Value: strings.TrimSpace(rest)}
	}
	if name == "" {
		return nil, fmt.Errorf("the option has no name")
	}
	var used []usedOption
	for _, o := range slices.Concat(options, stepOptions) {
		u := usedOption{o, "--" + name, value}
		if o.long == name {
			used = []usedOption{u}
			break
		}
		if strings.HasPrefix(o.long, name) {
			used = append(used, u)
		}
	}
	if len(used) == 1 && used[0].argument == requiredArgument && !hasValue && used[0].refusal == "" {
		// Slurm would take the next word as its value.
		return nil, fmt.Errorf("it needs a value: --slurm='--%s=VALUE'", used[0].long)
	}
	// A refused option comes first: it decides.
	slices.SortStableFunc(used, func(a, b usedOption) int { return cmp.Compare(len(b.refusal), len(a.refusal)) })
	return used, nil
}

// readShortOptions returns the short options that word clusters, the last one with its value.
func readShortOptions(word string) ([]usedOption, error) {
	var used []usedOption
	for i := 1; i < len(word); i++ {
		k := slices.IndexFunc(options, func(o option) bool { return o.short == word[i] && o.short != 0 })
		if k < 0 {
			// It is unknown whether the rest is its value.
			return nil, fmt.Errorf("neither sbatch nor salloc has an option -%c: use the long name", word[i])
		}
		o := options[k]
		as, rest := "-"+word[i:i+1], word[i+1:]
		if o.argument == noArgument {
			used = append(used, usedOption{o, as, ""})
			continue
		}
		used = append(used, usedOption{o, as, rest})
		switch {
		case o.refusal != "" || o.argument == optionalArgument:
		case strings.TrimSpace(rest) == "":
			return nil, fmt.Errorf("it needs a value: --slurm='%s'", word[:i+1]+"VALUE")
		case rest[0] == ' ':
			return nil, &OneWordError{Option: word[:i+1], Value: strings.TrimSpace(rest)}
		}
		break
	}
	return used, nil
}
