// Package docblock reads the blocks of code in the documents, for the tests that run and count them
// (docs/documentation.md).
package docblock

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

// A Block is a block of code in a document.
type Block struct {
	Page   string // the path below the root of the repository, with slashes
	Line   int    // of its first line of text, from 1
	Lang   string // the word after the fence; "" for a block that is only indented
	Fenced bool
	Text   string
	NotRun string // the reason of a comment "not run" before it; "" if there is none
}

// notRun matches the comment before a block that no test runs.
var notRun = regexp.MustCompile(`(?s)^<!--\s*not run:\s*(.*?)\s*-->\s*$`)

// IsShell reports whether the block has commands for a shell: language sh or console.
func (b Block) IsShell() bool { return b.Lang == "sh" || b.Lang == "console" }

// languages are those of fenced blocks. Another name of a shell, such as bash, would hide commands from the test that
// runs them.
var languages = []string{"sh", "console", "text", "toml", "json", "go", "powershell"}

// shellWord matches a command line.
var shellWord = regexp.MustCompile(`(?m)^(\$ |(cscs|go|scripts/\w+|curl|ssh|scp|sftp|rsync|salloc|sbatch|squeue|scancel|source|export|pip|apt) )`)

// dayTime matches a time that cscs prints with its date if that is not today's.
var dayTime = regexp.MustCompile(`\b(begun|ends|until) at [0-9]+:[0-9]+`)

// FindFault returns what hides commands of a block from the test that runs them, or fails that test at some hours, or "".
func (b Block) FindFault() string {
	switch {
	case b.Fenced && !slices.Contains(languages, b.Lang):
		return fmt.Sprintf("the language of a block is %q, not one of %s", b.Lang, strings.Join(languages, ", "))
	case b.Lang == "console" && !strings.HasPrefix(b.Text, "$ "):
		return `a block of language console does not begin with a command ("$ ")`
	case b.Lang == "console" && b.NotRun == "" && dayTime.MatchString(b.Text):
		return `a block of language console shows a time of day, which near midnight has a date: write "…"`
	case !b.Fenced && shellWord.MatchString(b.Text), b.Lang == "text" && strings.HasPrefix(b.Text, "$ "):
		return "a block with commands has no language sh or console"
	}
	return ""
}

// Place returns the page and the line, as editors read them.
func (b Block) Place() string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }

// A Step is a command of a block, with the output that the block shows for it.
type Step struct{ Command, Output string }

// Steps returns the commands of a block. All of a block of language sh is one command. In a block of language
// console, a command begins with "$ ", and the lines that follow are its output.
func (b Block) Steps() []Step {
	if b.Lang != "console" {
		return []Step{{Command: b.Text}}
	}
	var steps []Step
	for line := range strings.Lines(b.Text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			steps = append(steps, Step{Command: command})
		} else if n := len(steps); n > 0 {
			steps[n-1].Output += line
		}
	}
	return steps
}

var digits = regexp.MustCompile(`[0-9]+`)

// FindMissing returns the first line of the shown output that the real one lacks, or "". The lines must come in the
// same order; there may be others between them. "…" stands for any text, also for none, and a number for any number.
func (s Step) FindMissing(output string) string {
	lines := strings.Split(output, "\n")
	for want := range strings.Lines(s.Output) {
		want = strings.TrimSpace(want)
		if want == "" || want == "…" {
			continue
		}
		pattern := digits.ReplaceAllString(regexp.QuoteMeta(want), "[0-9]+")
		re := regexp.MustCompile(strings.ReplaceAll(pattern, "…", ".*"))
		i := slices.IndexFunc(lines, re.MatchString)
		if i < 0 {
			return want
		}
		lines = lines[i+1:]
	}
	return ""
}

// Read returns the blocks of the documents below root, the directory of the repository: those of the Markdown files in
// root, and of all in docs.
func Read(root string) ([]Block, error) {
	pages, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		return nil, err
	}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		more, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		pages = append(pages, more...)
	}
	var all []Block
	for _, path := range pages {
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		blocks, err := parsePage(filepath.ToSlash(name), source)
		if err != nil {
			return nil, err
		}
		all = append(all, blocks...)
	}
	return all, nil
}

// parsePage returns the blocks of one document.
func parsePage(page string, source []byte) (blocks []Block, err error) {
	err = ast.Walk(goldmark.DefaultParser().Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		b := Block{Page: page}
		switch n := n.(type) {
		case *ast.FencedCodeBlock:
			b.Fenced, b.Lang = true, string(n.Language(source))
		case *ast.CodeBlock:
		default:
			return ast.WalkContinue, nil
		}
		if !entering || n.Lines().Len() == 0 {
			return ast.WalkContinue, nil
		}
		b.Text = string(n.Lines().Value(source))
		b.Line = 1 + strings.Count(string(source[:n.Lines().At(0).Start]), "\n")
		if before, ok := n.PreviousSibling().(*ast.HTMLBlock); ok {
			comment := before.Lines().Value(source)
			if before.HasClosure() { // a comment of several lines
				comment = append(comment, before.ClosureLine.Value(source)...)
			}
			if m := notRun.FindSubmatch(comment); m != nil {
				b.NotRun = string(m[1])
			}
		}
		blocks = append(blocks, b)
		return ast.WalkContinue, nil
	})
	return blocks, err
}
