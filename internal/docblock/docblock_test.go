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

// shellWord is the beginning of a line that somebody can paste into a shell.
var shellWord = regexp.MustCompile(`(?m)^(\$ |(cscs|go|scripts/\w+|curl|ssh|scp|sftp|rsync|salloc|sbatch|squeue|scancel|source|export|pip|apt) )`)

// TestShellBlocksAreMarked: commands are in fenced blocks of language sh or console. Otherwise no test would see them.
func TestShellBlocksAreMarked(t *testing.T) {
	for _, b := range readBlocks(t) {
		if !b.IsShell() && (b.Lang == "" || b.Lang == "text" && strings.HasPrefix(b.Text, "$ ")) && shellWord.MatchString(b.Text) {
			t.Errorf("%s: a block with commands has no language sh or console:\n%s", b.Place(), b.Text)
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
