package slurm

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Where a variable of the remote part is written: by an assignment, in arithmetic, by read,
// mapfile or exec, or as a loop's.
var (
	assignment = regexp.MustCompile(`(?:^|[\s;({&|"'])(cscs_\w+)(?:\[[^\]]*\])?\+?=(?:[^=~]|$)`)
	arithmetic = regexp.MustCompile(`(?:\(\(|, )\+*(cscs_\w+)(?:\+\+| (?:[-+] ?)?= )|\(\(\+\+(cscs_\w+)|\+\+(cscs_\w+)`)
	readInto   = regexp.MustCompile(`\b(?:read|mapfile)\b[^<|;]*?\s(cscs_\w+)\b`)
	opening    = regexp.MustCompile(`exec \{(cscs_\w+)\}[<>]`)
	function   = regexp.MustCompile(`^(\w+)\(\) [{(]`)
	localNames = regexp.MustCompile(`\b(cscs_\w+)(?:=|\s|$)`)
	tableRow   = regexp.MustCompile(`^#\t(cscs_\w+)\t+([0-9 ]+?)\t+(\S.*)$`)
)

// globals returns the numbers of the files that write each global of a script part by part, and
// the names of its functions.
func globals(files map[string]string) (written map[string][]string, functions map[string]bool) {
	written, functions = map[string][]string{}, map[string]bool{}
	for name, text := range files {
		number, _, _ := strings.Cut(name, "-")
		local := map[string]bool{}
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\n")
			code := strings.TrimSpace(line)
			if m := function.FindStringSubmatch(line); m != nil {
				functions[m[1]] = true
				clear(local)
			}
			switch {
			case strings.HasPrefix(code, "#"), strings.HasPrefix(code, ": "):
				continue
			case strings.HasPrefix(code, "local "):
				for _, m := range localNames.FindAllStringSubmatch(code, -1) {
					local[m[1]] = true
				}
				continue
			}
			for _, where := range []*regexp.Regexp{assignment, arithmetic, readInto, opening} {
				for _, m := range where.FindAllStringSubmatch(line, -1) {
					for _, v := range m[1:] {
						if v != "" && !local[v] && !slices.Contains(written[v], number) {
							written[v] = append(written[v], number)
						}
					}
				}
			}
		}
	}
	for _, numbers := range written {
		slices.Sort(numbers)
	}
	return written, functions
}

// Each global of the remote part stands in the table of 02-globals.sh, with the files that write it
// and one meaning, and no function has its name.
func TestGlobals(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	names, err := fs.Glob(remoteFiles, "remote/*.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := remoteFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(name, "remote/")] = string(text)
	}
	table := map[string][]string{}
	for line := range strings.Lines(files["02-globals.sh"]) {
		if m := tableRow.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			table[m[1]] = strings.Fields(m[2])
		}
	}
	written, functions := globals(files)
	// Every variable is given its first value in 00-lib.sh.
	for v, numbers := range written {
		numbers = slices.DeleteFunc(slices.Clone(numbers), func(n string) bool { return n == "00" && !slices.Contains(table[v], "00") })
		if len(numbers) > 0 {
			written[v] = numbers
		} else {
			delete(written, v)
		}
	}
	if diff := cmp.Diff(table, written); diff != "" {
		t.Errorf("who writes what (-table +script):\n%s", diff)
	}
	for v := range written {
		if functions[v] {
			t.Errorf("%s is a variable and a function", v)
		}
	}
}

// What globals finds, in a script that has each form once.
func TestGlobalsAreFound(t *testing.T) {
	t.Parallel()
	script := `# cscs_no=1
cscs_f() {
	local cscs_no x
	cscs_no=1 cscs_a=2
	((++cscs_b, cscs_c = 3, cscs_d += 4))
	{ IFS= read -r cscs_e _ <"$cscs_no/x"; }
	exec {cscs_g}< <(true)
	cscs_h[1]=2
	[[ $cscs_no == 1 && cscs_no != 2 ]]
}
`
	want := map[string][]string{}
	for _, v := range strings.Fields("cscs_a cscs_b cscs_c cscs_d cscs_e cscs_g cscs_h") {
		want[v] = []string{"10"}
	}
	written, functions := globals(map[string]string{"10-x.sh": script})
	if diff := cmp.Diff(want, written); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	if !functions["cscs_f"] {
		t.Errorf("functions: %v", functions)
	}
}
