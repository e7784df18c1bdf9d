package docblock

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// mostNotRun is how many blocks no test runs. A new one needs a reason that a reviewer accepts: see docs/documentation.md.
const mostNotRun = 33

// readBlocks returns the blocks of this repository's documents.
func readBlocks(t *testing.T) []Block {
	t.Helper()
	blocks, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// TestNotRun: no more blocks than agreed carry the comment "not run", and the table of docs/documentation.md counts
// them by page.
func TestNotRun(t *testing.T) {
	count, found := map[string]int{}, 0
	for _, b := range readBlocks(t) {
		if b.NotRun == "" {
			continue
		}
		if !b.IsShell() {
			t.Errorf("%s: a comment \"not run\" before a block that is not for a shell", b.Place())
		}
		found++
		count[b.Page]++
	}
	if found > mostNotRun {
		t.Errorf("%d blocks are not run, agreed are %d", found, mostNotRun)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "documentation.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]int{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+\\.md)` \\| (.*) \\|$").FindAllStringSubmatch(string(text), -1) {
		listed[m[1]] = len(strings.Split(m[2], ";"))
	}
	if diff := cmp.Diff(count, listed); diff != "" {
		t.Errorf("blocks that are not run, and reasons in the table of docs/documentation.md, separated by semicolons (-found +table):\n%s", diff)
	}
}

// TestShellBlocksAreMarked: commands are in fenced blocks of language sh or console. Otherwise no test would see them.
func TestShellBlocksAreMarked(t *testing.T) {
	for _, b := range readBlocks(t) {
		if fault := b.FindFault(); fault != "" {
			t.Errorf("%s: %s:\n%s", b.Place(), fault, b.Text)
		}
	}
}

// TestFindFault: another name of a shell, a console without a command first, a time of day, and commands of no language
// are found.
func TestFindFault(t *testing.T) {
	for _, tt := range []struct {
		page  string
		fault bool
	}{
		{"```sh\ncscs ps\n```\n", false},
		{"```console\n$ cscs ps\nno live session\n```\n", false},
		{"```console\n$ cscs ps\njob 1, ends …\n```\n", false},
		{"```console\n$ cscs ps\njob 1, ends at 22:07\n```\n", true},
		{"```json\n{}\n```\n", false},
		{"```text\ncscs ps lists sessions\n```\n", false},
		{"    a picture\n", false},
		{"```bash\ncscs ps\n```\n", true},
		{"```zsh\ncscs ps\n```\n", true},
		{"```shell\ncscs ps\n```\n", true},
		{"```shell-session\n$ cscs ps\n```\n", true},
		{"```\na picture\n```\n", true},
		{"```console\ncscs ps\n```\n", true},
		{"```console\nfirst\n$ cscs ps\n```\n", true},
		{"```text\n$ cscs ps\n```\n", true},
		{"    cscs ps\n", true},
	} {
		blocks, err := parsePage("a.md", []byte(tt.page))
		if err != nil || len(blocks) != 1 {
			t.Fatalf("%q: %v, %v", tt.page, blocks, err)
		}
		if fault := blocks[0].FindFault(); (fault != "") != tt.fault {
			t.Errorf("%q: fault %q, want one: %v", tt.page, fault, tt.fault)
		}
	}
}

// TestPicturesAreMade: each picture comes from a script, which can make it again.
func TestPicturesAreMade(t *testing.T) {
	var scripts []byte
	for _, name := range []string{"record", "bench"} {
		text, err := os.ReadFile(filepath.Join(root, "scripts", name))
		if err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, text...)
	}
	pictures, err := filepath.Glob(filepath.Join(root, "docs", "*.[sgpj][vinp][gf]"))
	if err != nil || len(pictures) == 0 {
		t.Fatalf("no pictures in docs: %v", err)
	}
	for _, path := range pictures {
		name := filepath.Base(path)
		if record := "\nrun " + strings.TrimSuffix(name, ".svg") + " "; !strings.Contains(string(scripts), record) && !strings.Contains(string(scripts), ">docs/"+name) {
			t.Errorf("neither scripts/record nor scripts/bench makes docs/%s", name)
		}
	}
}

// TestParsePage: fenced and indented blocks, their lines, and the comment before a block.
func TestParsePage(t *testing.T) {
	const page = "# Title\n\n    indented\n\n```sh\ncscs ps\n```\n\n<!-- not run: no\nreason -->\n```console\n$ a\none\n\n$ b\n```\n\n<!-- else -->\n```toml\nx = 1\n```\n"
	got, err := parsePage("a.md", []byte(page))
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Page: "a.md", Line: 3, Text: "indented\n"},
		{Page: "a.md", Line: 6, Lang: "sh", Fenced: true, Text: "cscs ps\n"},
		{Page: "a.md", Line: 12, Lang: "console", Fenced: true, Text: "$ a\none\n\n$ b\n", NotRun: "no\nreason"},
		{Page: "a.md", Line: 20, Lang: "toml", Fenced: true, Text: "x = 1\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Step{{"a\n", "one\n\n"}, {Command: "b\n"}}, got[2].Steps()); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

// TestFindMissing: numbers and "…" may differ, words and the order of lines may not.
func TestFindMissing(t *testing.T) {
	for _, tt := range []struct{ shown, real, want string }{
		{"✓ job 1 granted: nid001001, ends at 22:07\n", "first\n✓ job 47 granted: nid001002, ends at 9:07 0.1 s\n", ""},
		{"✓ job 1 granted: nid001001, ends …\n", "✓ job 1 granted: nid001001, ends on Tue 1 Dec 00:07 0.1 s\n", ""},
		{"one …\n…\nthree\n", "one and a half\ntwo\nthree\n", ""},
		{"cscs-…\n", "--job-name=cscs-abc", ""},
		{"job 1 granted\n", "job 1 queued\n", "job 1 granted"},
		{"two\none\n", "one\ntwo\n", "one"},
	} {
		if got := (Step{Output: tt.shown}).FindMissing(tt.real); got != tt.want {
			t.Errorf("%q in %q: %q is missing, want %q", tt.shown, tt.real, got, tt.want)
		}
	}
}
