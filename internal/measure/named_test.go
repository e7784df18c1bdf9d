package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// declaredTest matches the declaration of a test; namedTest a test's name in a document. A name that ends in "…" stands
// for all names that begin so.
var (
	declaredTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	namedTest    = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)(…?)`")
)

// TestNamedTests: each test that a document names is in the tree. SECURITY.md in particular supports each of its
// statements by tests.
func TestNamedTests(t *testing.T) {
	const root = "../.."
	var tests []string
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
		if isTest {
			for _, m := range declaredTest.FindAllStringSubmatch(string(text), -1) {
				tests = append(tests, m[1])
			}
		} else if name, errRel := filepath.Rel(root, path); errRel == nil {
			pages[filepath.ToSlash(name)] = string(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for page, text := range pages {
		for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
			if !slices.ContainsFunc(tests, func(name string) bool { return name == m[1] || m[2] != "" && strings.HasPrefix(name, m[1]) }) {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
	}
	if n := len(namedTest.FindAllString(pages["SECURITY.md"], -1)); n < 50 {
		t.Errorf("SECURITY.md names %d tests only", n)
	}
}
