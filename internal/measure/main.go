// Command measure prints how a tree of Go reads: sizes, names, comments, words and paragraphs.
//
//	go run ./internal/measure [DIR]
//	go run ./internal/measure -names [DIR]     the functions with one-word names, one on each line
//	go run ./internal/measure -check [DIR]     the places of quaint words and long paragraphs; exit code 1 if there is one
//
// Production code is every Go file that is no test, and outside testdata.
package main

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	// oneWord is an unexported name of one word, which says neither what is done nor to what.
	oneWord = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

	// listItem is the beginning of an item of a list in Markdown.
	listItem = regexp.MustCompile(`^([-*]|[0-9]+\.) `)

	// quaint are words that technical English has plainer ones for. The user "nobody" and root's neighbours keep theirs.
	quaint = regexp.MustCompile(`(?i)\bnobody\b[^",]|\b(no ?body's|whoever|whosever|mend(s|ed|ing)?|in vain|for ever|heard of|astray|was had|hush|gaze)\b|[^y] be it\b`)
)

// longParagraph is how many words a paragraph may have that is read in one go.
const longParagraph = 120

// A tree holds the facts that were counted.
type tree struct {
	files, lines, comments int
	lengths                []int // of each function's body, in lines
	documented, errors     int
	names                  []string // of functions with one-word names, with their place
	quaint                 []string // places and words in Go, shell and Markdown
	paragraphs             []int    // of the design documents, in words
	long                   []string // places of those with too many
	fields                 int      // of the largest struct
	largest                string
}

func main() {
	names := flag.Bool("names", false, "print the functions with one-word names")
	check := flag.Bool("check", false, "print what makes the text hard to read")
	flag.Parse()
	dir := "."
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	t, err := measureTree(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
	switch faults := slices.Concat(t.quaint, t.long); {
	case *names:
		fmt.Println(strings.Join(t.names, "\n"))
		return
	case *check && len(faults) > 0:
		fmt.Println(strings.Join(faults, "\n"))
		os.Exit(1)
	case *check:
		return
	}
	t.printReport(os.Stdout)
}

// measureTree counts what is below dir.
func measureTree(dir string) (*tree, error) {
	t := new(tree)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != dir && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || entry.Name() == "bin"):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		return t.countFile(dir, path)
	})
	if err == nil && len(t.lengths) == 0 {
		err = errors.New(dir + " has no Go functions")
	}
	return t, err
}

// countFile takes in one file, if it is one that is measured.
func (t *tree) countFile(dir, path string) error {
	extension := filepath.Ext(path)
	if strings.HasSuffix(path, "_test.go") || !slices.Contains([]string{".go", ".sh", ".md"}, extension) {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	name = filepath.ToSlash(name)
	if filepath.Base(filepath.Dir(path)) != "measure" { // which names the words
		for i, line := range strings.Split(string(text), "\n") {
			for _, word := range quaint.FindAllString(line, -1) {
				t.quaint = append(t.quaint, fmt.Sprintf("%s:%d: %q has a plainer word", name, i+1, word))
			}
		}
	}
	switch {
	case extension == ".go":
		return t.countGo(name, text)
	case name == "docs/architecture.md" || strings.HasPrefix(name, "docs/design/"):
		t.countParagraphs(name, string(text))
	}
	return nil
}

func (t *tree) countGo(name string, text []byte) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.files++
	t.lines += strings.Count(string(text), "\n")
	for _, group := range file.Comments {
		t.comments += set.Position(group.End()).Line - set.Position(group.Pos()).Line + 1
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncDecl:
			t.countFunction(set, node)
		case *ast.TypeSpec:
			if s, ok := node.Type.(*ast.StructType); ok && s.Fields.NumFields() > t.fields {
				t.fields, t.largest = s.Fields.NumFields(), file.Name.Name+"."+node.Name.Name
			}
		}
		return true
	})
	return nil
}

func (t *tree) countFunction(set *token.FileSet, f *ast.FuncDecl) {
	at := set.Position(f.Name.Pos())
	t.lengths = append(t.lengths, set.Position(f.End()).Line-set.Position(f.Pos()).Line+1)
	if f.Doc != nil {
		t.documented++
	}
	if oneWord.MatchString(f.Name.Name) && f.Name.Name != "main" && f.Name.Name != "init" {
		t.names = append(t.names, fmt.Sprintf("%s:%d:%d %s", at.Filename, at.Line, at.Column, f.Name.Name))
	}
	if f.Recv != nil && f.Name.Name == "Error" && f.Type.Params.NumFields() == 0 && f.Type.Results.NumFields() == 1 {
		t.errors++
	}
}

// countParagraphs takes in the words of each paragraph that is neither a table nor code.
func (t *tree) countParagraphs(name, text string) {
	fenced := false
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if strings.Count(paragraph, "```")%2 == 1 {
			fenced = !fenced
			continue
		}
		if fenced || strings.HasPrefix(paragraph, "|") || strings.HasPrefix(paragraph, "    ") || strings.HasPrefix(paragraph, "#") {
			continue
		}
		words := 0
		for line := range strings.Lines(paragraph) {
			if listItem.MatchString(line) { // each is a paragraph
				t.addParagraph(name, paragraph, words)
				words = 0
			}
			words += len(strings.Fields(line))
		}
		t.addParagraph(name, paragraph, words)
	}
}

func (t *tree) addParagraph(name, text string, words int) {
	if words > 0 {
		t.paragraphs = append(t.paragraphs, words)
	}
	if words > longParagraph {
		t.long = append(t.long, fmt.Sprintf("%s: %d words in the paragraph %.50q", name, words, text))
	}
}

func (t *tree) printReport(w io.Writer) {
	functions := len(t.lengths)
	percent := func(n, of int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of)) }
	fmt.Fprintf(w, "lines of production Go        %d in %d files\n", t.lines, t.files)
	fmt.Fprintf(w, "lines of a function           p90 %d, p99 %d, max %d\n", quantile(t.lengths, 0.9), quantile(t.lengths, 0.99), quantile(t.lengths, 1))
	fmt.Fprintf(w, "one-word function names       %s (%d of %d)\n", percent(len(t.names), functions), len(t.names), functions)
	fmt.Fprintf(w, "comment lines                 %s\n", percent(t.comments, t.lines))
	fmt.Fprintf(w, "documented functions          %s\n", percent(t.documented, functions))
	fmt.Fprintf(w, "error types                   %d\n", t.errors)
	fmt.Fprintf(w, "largest struct                %s, %d fields\n", t.largest, t.fields)
	fmt.Fprintf(w, "quaint words                  %d\n", len(t.quaint))
	if len(t.paragraphs) > 0 {
		fmt.Fprintf(w, "words of a design paragraph   median %d, max %d\n", quantile(t.paragraphs, 0.5), quantile(t.paragraphs, 1))
	}
}

// quantile returns the value that part of the values, of 1, do not exceed.
func quantile(values []int, part float64) int {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(part*float64(len(sorted))+0.5)-1)]
}
