package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMeasureTree counts a small tree in which each fact is known.
func TestMeasureTree(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.go": `package a

// small is documented.
func small() {}

func readFile() {
	_ = 1
}

type pair struct{ a, b int }

type broken struct {
	// nobody reads it
	why string
}

func (b *broken) Error() string { return b.why }
`,
		"a_test.go":             "package a\n\nfunc mend() {}\n",
		"testdata/b.go":         "package b\n\nfunc gaze() {}\n",
		".hidden/c.go":          "package c\n\nfunc gaze() {}\n",
		"remote.sh":             "# it mends\n",
		"docs/design/a.md":      "# Title\n\none two three\n\n- four words in item\n- two words\n1. and a third\n\n| a | table |\n\n```\ncode code code code code\n\ncode\n```\n",
		"docs/architecture.md":  "a b\n\n" + strings.Repeat("word ", longParagraph+1) + "\n",
		"docs/configuration.md": "so many words in a page that is no design document, in vain\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := measureTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.files != 1 || got.lines != 17 || got.comments != 2 {
		t.Errorf("%d files, %d lines, %d of comments", got.files, got.lines, got.comments)
	}
	if !slices.Equal(got.lengths, []int{1, 3, 1}) || got.documented != 1 || got.errors != 1 {
		t.Errorf("lengths %v, %d documented, %d errors", got.lengths, got.documented, got.errors)
	}
	if !slices.Equal(got.names, []string{"a.go:4:6 small"}) {
		t.Errorf("one-word names: %q", got.names)
	}
	if got.fields != 2 || got.largest != "a.pair" {
		t.Errorf("largest struct: %s, %d", got.largest, got.fields)
	}
	if want := []string{`a.go:13: "nobody "`, `docs/configuration.md:1: "in vain"`, `remote.sh:1: "mends"`}; !slices.EqualFunc(got.quaint, want, strings.HasPrefix) {
		t.Errorf("quaint words: %q", got.quaint)
	}
	if slices.Sort(got.paragraphs); !slices.Equal(got.paragraphs, []int{2, 3, 3, 4, 5, longParagraph + 1}) {
		t.Errorf("paragraphs: %v", got.paragraphs)
	}
	if len(got.long) != 1 || !strings.HasPrefix(got.long[0], "docs/architecture.md: 121 words") {
		t.Errorf("long paragraphs: %q", got.long)
	}
	var out bytes.Buffer
	got.printReport(&out)
	for _, line := range []string{"33.3 % (1 of 3)", "a.pair, 2 fields", "median 3, max 121"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in\n%s", line, &out)
		}
	}
}

func TestMeasureNothing(t *testing.T) {
	if _, err := measureTree(t.TempDir()); err == nil {
		t.Error("an empty tree was measured")
	}
}

func TestQuantile(t *testing.T) {
	values := []int{5, 1, 4, 2, 3}
	for part, want := range map[float64]int{0: 1, 0.5: 3, 0.9: 5, 1: 5} {
		if got := quantile(values, part); got != want {
			t.Errorf("%v: %d, not %d", part, got, want)
		}
	}
}
