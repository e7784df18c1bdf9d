package slurm

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A fact is a line of testdata/options.txt: what one command of some releases knows.
type fact struct {
	option
	command  string
	releases []string
}

func optionFacts(t *testing.T) []fact {
	t.Helper()
	var facts []fact
	for _, f := range factLines(t, "testdata/options.txt") {
		kinds := []string{"none", "required", "optional"}
		o := option{long: f[0], argument: argument(slices.Index(kinds, f[2]))}
		if f[1] != "-" {
			o.short = f[1][0]
		}
		facts = append(facts, fact{o, f[3], f[4:]})
	}
	return facts
}

func factLines(t *testing.T, file string) [][]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "#" {
			lines = append(lines, f)
		}
	}
	if len(lines) < 200 {
		t.Fatalf("%s has %d lines", file, len(lines))
	}
	return lines
}

// refusedOptions is the decision: every other option of Slurm's is the user's to set.
var refusedOptions = strings.Fields(`array autocomplete chdir cluster clusters container container-id container-type error export export-file
	external get-user-env gid help immediate input job-name no-kill no-shell open-mode output parsable quiet requeue signal test-only uid usage
	version wait wrap x11`)

// TestOptionTable: the table of options has those of every release and no other, with the
// short forms and values that Slurm knows.
func TestOptionTable(t *testing.T) {
	t.Parallel()
	known := map[string]option{}
	for _, f := range optionFacts(t) {
		o, ok := known[f.long]
		if ok && o.short != f.short {
			t.Errorf("--%s has two short forms", f.long)
		}
		// The most general: it is the one that lets no option through for another's value.
		if !ok || f.argument == optionalArgument {
			known[f.long] = f.option
		}
	}
	var refused []string
	for _, o := range options {
		if o.refusal != "" {
			refused = append(refused, o.long)
		}
		o.refusal = ""
		if want, ok := known[o.long]; !ok || o != want {
			t.Errorf("--%s is %+v, and Slurm's is %+v", o.long, o, want)
		}
		delete(known, o.long)
	}
	for name := range known {
		t.Errorf("--%s is not decided on", name)
	}
	if diff := cmp.Diff(refusedOptions, refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

// TestCheckOption: however getopt_long(3) lets one write them, with whatever before them, the
// options that cscs cannot do with are refused, and the others are accepted.
func TestCheckOption(t *testing.T) {
	t.Parallel()
	facts := optionFacts(t)
	for _, command := range []string{"salloc", "sbatch"} {
		for _, release := range []string{"22.05", "24.11", "25.05", "26.05"} {
			var here []option
			for _, f := range facts {
				if f.command == command && slices.Contains(f.releases, release) {
					here = append(here, f.option)
				}
			}
			if len(here) < 90 {
				t.Fatalf("%s of %s has %d options", command, release, len(here))
			}
			for _, o := range here {
				refused := slices.Contains(refusedOptions, o.long)
				for _, word := range spellings(here, o) {
					err := CheckOption(word)
					exact := strings.HasPrefix(word+"=", "--"+o.long+"=")
					switch {
					case refused && err == nil:
						t.Errorf("%s of %s: %s is accepted", command, release, word)
					case !refused && err != nil && (exact || !strings.HasPrefix(word, "--")):
						t.Errorf("%s of %s: %s is refused: %v", command, release, word, err)
					case err != nil && strings.Contains(err.Error(), "\n"):
						t.Errorf("%s: more than one line: %q", word, err)
					}
				}
			}
		}
	}
}

// spellings are the words by which getopt_long(3) comes to the option.
func spellings(all []option, o option) []string {
	value := map[argument]string{noArgument: "", requiredArgument: "=1", optionalArgument: "=1"}[o.argument]
	var words []string
	for n := 1; n <= len(o.long); n++ {
		name := o.long[:n]
		others := slices.ContainsFunc(all, func(other option) bool { return other.long != o.long && strings.HasPrefix(other.long, name) })
		if name == o.long || !others {
			words = append(words, "--"+name+value)
			if o.argument == optionalArgument {
				words = append(words, "--"+name)
			}
		}
	}
	if o.short != 0 {
		s := string(o.short) + strings.TrimPrefix(value, "=")
		words = append(words, "-"+s)
		for _, first := range all {
			if first.short != 0 && first.argument == noArgument && !slices.Contains(refusedOptions, first.long) {
				words = append(words, "-"+string(first.short)+s)
			}
		}
	}
	return words
}

// TestCheckOptionWords: words that are not, or not only, an option.
func TestCheckOptionWords(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"":                       "must be an option",
		"x":                      "must be an option",
		":":                      "must be an option",
		"-":                      "must be an option",
		"--":                     "must be an option",
		"--=x":                   "no name",
		"--comment":              "--comment=VALUE",
		"--comm":                 "--comment=VALUE",
		"-p":                     "-pVALUE",
		"-vp":                    "-vpVALUE",
		"-p debug":               "-pdebug",
		"-vHn 2":                 "-vHn2",
		"--constraint gpu":       "--constraint=gpu",
		"-vJx":                   "-J may stand for --job-name",
		"-v-x":                   "has an option --",
		"-Z":                     "has an option -Z",
		"--jo=x":                 "--jo may stand for --job-name",
		"--wai":                  "--wai may stand for --wait",
		"--no":                   "may stand for",
		"-vJx --exclusive":       "-J",
		"-xJW":                   "", // the node JW
		"-n2W":                   "", // Slurm refuses the number
		"-vvH":                   "",
		"-K":                     "",
		"--exclusive":            "",
		"--nice":                 "",
		"--hold":                 "",
		"--begin=now+1":          "",
		"--dependency=afterok:1": "",
		"--uenv=prgenv-gnu":      "", // a plugin's
		"--comment=--array=1":    "",
		"--repo=/r":              "", // the step's
		"--no-default-view":      "",
		"--repo":                 "--repo=VALUE",
		"--environment=mine":     "use --environment",
	} {
		err := CheckOption(word)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", word, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", word, err, want)
		}
	}
}

// TestCanonicalOptions: the remote part gets each option with a value under its long name, however
// the user writes it.
func TestCanonicalOptions(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"-vn3":                         "--ntasks=3",
		"-n3 -c2":                      "--ntasks=3 --cpus-per-task=2",
		"-HvG2":                        "--gpus=2",
		"--tasks-per-node=1":           "--ntasks-per-node=1",
		"--tasks-per=1":                "--ntasks-per-node=1",
		"--cpus-per-t=4":               "--cpus-per-task=4",
		"--mem-per-g=1G --mem=2G":      "--mem-per-gpu=1G --mem=2G",
		"-mblock":                      "--distribution=block",
		"--constraint=a=b":             "--constraint=a=b",
		"--exclusive -v --exclusive=u": "--exclusive=u",
		"--cpus-per=4":                 "", // ambiguous
		"--uenv=prgenv-gnu":            "", // a plugin's
		"-Z3":                          "",
	} {
		if got := strings.Join(canonicalOptions(strings.Fields(words)), " "); got != want {
			t.Errorf("%q: %q, want %q", words, got, want)
		}
	}
}

// TestOptionWord: an option is offered as --slurm takes it, and one that is refused not at all.
func TestOptionWord(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"exclusive": "--exclusive", "cpus-per-task": "--cpus-per-task=VALUE", "c": "--cpus-per-task=VALUE",
		"signal": "", "array": "", "nosuch": "", "": "",
	} {
		word, ok := OptionWord(name)
		if word != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", name, word, ok)
		}
		if ok && CheckOption(strings.Replace(word, "VALUE", "1", 1)) != nil {
			t.Errorf("%q: --slurm refuses %s", name, word)
		}
	}
}

// TestSplitOptions: options of the server's step are no options of the request, and no other is the step's.
func TestSplitOptions(t *testing.T) {
	t.Parallel()
	step, request := SplitOptions([]string{
		"--exclusive", "--repo=/r", "-n2", "--no-default-view", "--uenv-passthrough=use", "--container-workdir=/w",
		"--repository=x", "--comment=--repo=x", "--no-default",
	})
	if diff := cmp.Diff([]string{"--repo=/r", "--no-default-view", "--uenv-passthrough=use", "--container-workdir=/w"}, step); diff != "" {
		t.Errorf("of the step (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"--exclusive", "-n2", "--repository=x", "--comment=--repo=x", "--no-default"}, request); diff != "" {
		t.Errorf("of the request (-want +got):\n%s", diff)
	}
}
