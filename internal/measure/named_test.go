package main

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// declaredTest matches the declaration of a test; namedTest a test's name in a document. A name that ends in "…" stands
// for all names that begin so. namedTests matches names joined by commas or "and", and the package in parentheses
// after them.
var (
	declaredTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	namedTest    = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)(…?)`")
	namedTests   = regexp.MustCompile(namedTest.String() + `(?:(?:,| and)\s+` + namedTest.String() + `)*(?:\s+\(([a-z][\w/]*)\))?`)
)

// A testPlace is a test and its directory, below the root and with "/" at both ends.
type testPlace struct{ name, dir string }

// missingTests returns the tests that text names and that are not there, each with its package. elsewhere is the
// package of names without one; "": any.
func missingTests(text, elsewhere string, there []testPlace) (missing []string) {
	for _, m := range namedTests.FindAllStringSubmatch(text, -1) {
		in := cmp.Or(m[len(m)-1], elsewhere)
		for _, n := range namedTest.FindAllStringSubmatch(m[0], -1) {
			if !slices.ContainsFunc(there, func(t testPlace) bool {
				return (t.name == n[1] || n[2] != "" && strings.HasPrefix(t.name, n[1])) && (in == "" || strings.HasSuffix(t.dir, "/"+in+"/"))
			}) {
				missing = append(missing, strings.TrimSpace(n[1]+" "+in))
			}
		}
	}
	return missing
}

// TestMissingTests: a test of the same name in another package does not count.
func TestMissingTests(t *testing.T) {
	there := []testPlace{{"TestA", "/forward/chain/"}, {"TestAll", "/slurm/"}}
	for text, want := range map[string][]string{
		"`TestA` and `TestAll`":                     nil,
		"`TestA` (chain), `TestAll` (slurm)":        nil,
		"`TestA…` (slurm); `TestA` (forward/chain)": nil,
		"`TestB`":                    {"TestB"},
		"`TestA` (slurm)":            {"TestA slurm"},
		"`TestA` (hain)":             {"TestA hain"},
		"`TestA`, `TestAll` (slurm)": {"TestA slurm"},
		"`TestA`,\n`TestAll` and `TestB` (forward/chain)": {"TestAll forward/chain", "TestB forward/chain"},
	} {
		if got := missingTests(text, "", there); !slices.Equal(got, want) {
			t.Errorf("%s: missing %q, want %q", text, got, want)
		}
	}
	if got := missingTests("`TestA`; `TestAll` (slurm)", "internal/e2e", there); !slices.Equal(got, []string{"TestA internal/e2e"}) {
		t.Errorf("missing %q", got)
	}
}

// TestNamedTests: each test that a document names is in the tree, in the package that the document gives. SECURITY.md
// in particular supports each of its statements by tests: those in the lab, unless it gives a package.
func TestNamedTests(t *testing.T) {
	const root = "../.."
	var tests []testPlace
	pages := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		isTest := strings.HasSuffix(path, "_test.go")
		if !isTest && !strings.HasSuffix(path, ".md") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		name = filepath.ToSlash(name)
		if !isTest {
			pages[name] = string(text)
			return err
		}
		for _, m := range declaredTest.FindAllStringSubmatch(string(text), -1) {
			tests = append(tests, testPlace{m[1], "/" + name[:strings.LastIndex(name, "/")+1]})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for page, text := range pages {
		elsewhere := ""
		if page == "SECURITY.md" {
			elsewhere = "internal/e2e"
		}
		for _, name := range missingTests(text, elsewhere, tests) {
			t.Errorf("%s names %s, which does not exist", page, name)
		}
	}
	if n := len(namedTest.FindAllString(pages["SECURITY.md"], -1)); n < 50 {
		t.Errorf("SECURITY.md names %d tests only", n)
	}
}
