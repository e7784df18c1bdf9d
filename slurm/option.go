package slurm

import (
	"cmp"
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

// options are all options of salloc and sbatch, from 22.05 to 26.05 (testdata/options.txt). The
// user may set what describes the job's resources, time or accounting. cscs refuses options that
// hide the job from it, run something else, or end its processes in the job.
var options = []option{
	{"account", 'A', requiredArgument, ""},
	{"acctg-freq", 0, requiredArgument, ""},
	{"array", 'a', requiredArgument, "a session is one job"},
	{"autocomplete", 0, requiredArgument, allocatesNothing},
	{"batch", 0, requiredArgument, ""},
	{"bb", 0, requiredArgument, ""},
	{"bbf", 0, requiredArgument, ""},
	{"begin", 'b', requiredArgument, ""},
	{"bell", 0, noArgument, ""},
	{"chdir", 'D', requiredArgument, "name the server's directory with --workdir"},
	{"cluster", 0, requiredArgument, oneCluster},
	{"cluster-constraint", 0, requiredArgument, ""},
	{"clusters", 'M', requiredArgument, oneCluster},
	{"comment", 0, requiredArgument, ""},
	{"consolidate-segments", 0, noArgument, ""},
	{"constraint", 'C', requiredArgument, ""},
	{"container", 0, requiredArgument, ownContainer},
	{"container-id", 0, requiredArgument, ownContainer},
	{"container-type", 0, requiredArgument, ownContainer},
	{"context", 0, requiredArgument, ""},
	{"contiguous", 0, noArgument, ""},
	{"core-spec", 'S', requiredArgument, ""},
	{"cores-per-socket", 0, requiredArgument, ""},
	{"cpu-freq", 0, requiredArgument, ""},
	{"cpus-per-gpu", 0, requiredArgument, ""},
	{"cpus-per-task", 'c', requiredArgument, ""},
	{"deadline", 0, requiredArgument, ""},
	{"delay-boot", 0, requiredArgument, ""},
	{"dependency", 'd', requiredArgument, ""},
	{"distribution", 'm', requiredArgument, ""},
	{"error", 'e', requiredArgument, ownOutput},
	{"exclude", 'x', requiredArgument, ""},
	{"exclusive", 0, optionalArgument, ""},
	{"export", 0, requiredArgument, ownEnvironment},
	{"export-file", 0, requiredArgument, ownEnvironment},
	{"external", 0, noArgument, "such a job runs no script, and cscs starts by one"},
	{"extra", 0, requiredArgument, ""},
	{"extra-node-info", 'B', requiredArgument, ""},
	{"get-user-env", 0, optionalArgument, ownEnvironment},
	{"gid", 0, requiredArgument, ownUser},
	{"gpu-bind", 0, requiredArgument, ""},
	{"gpu-freq", 0, requiredArgument, ""},
	{"gpus", 'G', requiredArgument, ""},
	{"gpus-per-node", 0, requiredArgument, ""},
	{"gpus-per-socket", 0, requiredArgument, ""},
	{"gpus-per-task", 0, requiredArgument, ""},
	{"gres", 0, requiredArgument, ""},
	{"gres-flags", 0, requiredArgument, ""},
	{"help", 'h', noArgument, allocatesNothing},
	{"hint", 0, requiredArgument, ""},
	// The job waits until scontrol releases it; cscs reports that reason.
	{"hold", 'H', noArgument, ""},
	{"ignore-pbs", 0, noArgument, ""},
	{"immediate", 'I', optionalArgument, "limit the wait with --queue-timeout"},
	{"input", 'i', requiredArgument, ownOutput},
	{"job-name", 'J', requiredArgument, "cscs finds its job by the name that it gives it"},
	{"kill-command", 'K', optionalArgument, ""},
	{"kill-on-invalid-dep", 0, requiredArgument, ""},
	{"licenses", 'L', requiredArgument, ""},
	{"mail-type", 0, requiredArgument, ""},
	{"mail-user", 0, requiredArgument, ""},
	{"mcs-label", 0, requiredArgument, ""},
	{"mem", 0, requiredArgument, ""},
	{"mem-bind", 0, requiredArgument, ""},
	{"mem-per-cpu", 0, requiredArgument, ""},
	{"mem-per-gpu", 0, requiredArgument, ""},
	{"mem-update", 0, requiredArgument, ""},
	{"mincpus", 0, requiredArgument, ""},
	{"network", 0, requiredArgument, ""},
	{"nice", 0, optionalArgument, ""},
	{"no-bell", 0, noArgument, ""},
	// The runner, which guards the job, is on the job's first node.
	{"no-kill", 'k', optionalArgument, "the job must end with its first node, or nothing guards it"},
	{"no-requeue", 0, noArgument, ""},
	{"no-shell", 0, noArgument, setByCscs},
	{"nodefile", 'F', requiredArgument, ""},
	{"nodelist", 'w', requiredArgument, ""},
	{"nodes", 'N', requiredArgument, ""},
	{"ntasks", 'n', requiredArgument, ""},
	{"ntasks-per-core", 0, requiredArgument, ""},
	{"ntasks-per-gpu", 0, requiredArgument, ""},
	{"ntasks-per-node", 0, requiredArgument, ""},
	{"ntasks-per-socket", 0, requiredArgument, ""},
	{"ntasks-per-tres", 0, requiredArgument, ""},
	{"oom-kill-step", 0, optionalArgument, ""},
	{"open-mode", 0, requiredArgument, ownOutput},
	{"output", 'o', requiredArgument, ownOutput},
	{"overcommit", 'O', noArgument, ""},
	{"oversubscribe", 's', noArgument, ""},
	{"parsable", 0, noArgument, setByCscs},
	{"partition", 'p', requiredArgument, ""},
	{"power", 0, requiredArgument, ""},
	{"prefer", 0, requiredArgument, ""},
	{"priority", 0, requiredArgument, ""},
	{"profile", 0, requiredArgument, ""},
	{"propagate", 0, optionalArgument, ""},
	{"qos", 'q', requiredArgument, ""},
	{"quiet", 'Q', noArgument, "cscs reads what salloc says"},
	{"reboot", 0, noArgument, ""},
	{"requeue", 0, optionalArgument, "a session's job is not started twice"}, // a value from 26.05 on
	{"reservation", 0, requiredArgument, ""},
	{"resources", 0, requiredArgument, ""},
	{"resv-ports", 0, optionalArgument, ""},
	{"segment", 0, requiredArgument, ""},
	{"signal", 0, requiredArgument, "it would end the processes of cscs in the job: shorten --time instead"},
	{"sockets-per-node", 0, requiredArgument, ""},
	{"spread-job", 0, noArgument, ""},
	{"spread-segments", 0, noArgument, ""},
	{"stepmgr", 0, noArgument, ""},
	{"switches", 0, requiredArgument, ""},
	{"tasks-per-node", 0, requiredArgument, ""},
	{"test-only", 0, noArgument, allocatesNothing},
	{"thread-spec", 0, requiredArgument, ""},
	{"threads-per-core", 0, requiredArgument, ""},
	{"time", 't', requiredArgument, ""},
	{"time-min", 0, requiredArgument, ""},
	{"tmp", 0, requiredArgument, ""},
	{"tres-bind", 0, requiredArgument, ""},
	{"tres-per-task", 0, requiredArgument, ""},
	{"uid", 0, requiredArgument, ownUser},
	{"usage", 0, noArgument, allocatesNothing},
	{"use-min-nodes", 0, noArgument, ""},
	// salloc prints more; cscs finds the lines it needs.
	{"verbose", 'v', noArgument, ""},
	{"version", 'V', noArgument, allocatesNothing},
	{"wait", 'W', noArgument, "cscs waits itself"},
	{"wait-all-nodes", 0, requiredArgument, ""},
	{"wckey", 0, requiredArgument, ""},
	{"wrap", 0, requiredArgument, "cscs brings what is to be run"},
	{"x11", 0, optionalArgument, "salloc, which would carry it, ends at the grant: use X11 forwarding of ssh"},
}

// stepOptions are options of plugins for the server's step: uenv's, and --container-workdir of
// containers.
var stepOptions = []option{
	{"container-workdir", 0, requiredArgument, ""},
	{"environment", 0, requiredArgument, ownContainer},
	{"no-default-view", 0, noArgument, ""},
	{"repo", 0, requiredArgument, ""},
	{"uenv-passthrough", 0, requiredArgument, ""},
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
			return fmt.Errorf("%s", u.refusal)
		}
		return fmt.Errorf("%s may stand for --%s: %s", u.as, u.long, u.refusal)
	}
	return nil
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
		return nil, fmt.Errorf("it must be one word: --slurm='--%s=%s'", n, strings.TrimSpace(rest))
	}
	if name == "" {
		return nil, fmt.Errorf("the option has no name")
	}
	var used []usedOption
	for _, o := range slices.Concat(options, stepOptions) {
		switch {
		case o.long == name:
			if o.argument == requiredArgument && !hasValue && o.refusal == "" {
				// Slurm would take the next word as its value.
				return nil, fmt.Errorf("it needs a value: --slurm='--%s=VALUE'", name)
			}
			return []usedOption{{o, "--" + name, value}}, nil
		case strings.HasPrefix(o.long, name):
			used = append(used, usedOption{o, "--" + name, value})
		}
	}
	if len(used) == 1 && used[0].argument == requiredArgument && !hasValue && used[0].refusal == "" {
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
			return nil, fmt.Errorf("it must be one word: --slurm='%s%s'", word[:i+1], strings.TrimSpace(rest))
		}
		break
	}
	return used, nil
}
