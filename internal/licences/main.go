// Command licences prints the licences of cscs and of everything that is linked into it, on any system for which it is
// released: Go itself and the modules. Archives and packages have this text, since most of the licences ask for it.
//
//	go run ./internal/licences
//
// It must run in the root of the module. It fails if a module has no licence, or one that is not allowed.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// systems are those for which cscs is released.
var systems = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}

// allowedLicences are the licences (SPDX identifiers) under which a module may become part of cscs, whose own licence is
// BSD-3-Clause. All of them demand a notice at most. A further one needs a decision, in docs/dependencies.md.
var allowedLicences = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT"}

var (
	// licenceFile matches the names of files with licences; "-" and "." come before what they are for.
	licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-.].*)?$`)

	// noticeFile matches the names of the notices that the licence Apache-2.0 asks to pass on.
	noticeFile = regexp.MustCompile(`(?i)^notice([-.].*)?$`)
)

// A source is code that is linked into cscs: a module, or Go.
type source struct {
	name string   // with its version
	dirs []string // those of its directories that may have a licence, its root first
}

// A document is a file that goes with the code.
type document struct {
	path string
	text []byte
	ids  []string // of the licences in it; none for a notice
}

func main() {
	if err := printLicences(context.Background(), ".", os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// printLicences writes the licences of the module in root and of what is linked into it.
func printLicences(ctx context.Context, root string, to io.Writer) error {
	modules, err := listModules(ctx, root)
	if err != nil {
		return err
	}
	goItself, err := findGo(ctx, root)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	text.WriteString("cscs contains code of Go and of these modules. Each part keeps its own licence, which is printed below.\n\n")
	all := append([]source{goItself}, modules...)
	for _, s := range all {
		fmt.Fprintf(&text, "  %s\n", s.name)
	}
	for _, s := range all {
		documents, err := s.readDocuments()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for _, d := range documents {
			name, err := filepath.Rel(s.dirs[0], d.path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&text, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 80), s.name, filepath.ToSlash(name), bytes.TrimRight(d.text, "\r\n\t "))
		}
	}
	_, err = text.WriteTo(to)
	return err
}

// findGo returns the Go that links cscs: its standard library and its runtime become part of it.
func findGo(ctx context.Context, root string) (source, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOROOT").Output()
	if err != nil {
		return source{}, fmt.Errorf("go env GOROOT: %w", err)
	}
	version, dir, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return goSource(version, dir, root), nil
}

// goSource returns the Go in dir. Some distributions, such as Debian, keep its licence elsewhere. Then it is the copy in
// the module in root, which has the same text.
func goSource(version, dir, root string) source {
	if _, err := os.Stat(filepath.Join(dir, "LICENSE")); err != nil {
		dir = filepath.Join(root, "internal", "licences", "go")
	}
	return source{"The standard library and runtime of " + version, []string{dir}}
}

// listModules returns the modules whose code is linked into cscs on one of the systems, sorted by name. Their
// directories are those with such code, and those above.
func listModules(ctx context.Context, root string) ([]source, error) {
	roots, below := map[string]string{}, map[string]map[string]bool{}
	for _, system := range systems {
		goos, goarch, _ := strings.Cut(system, "/")
		cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", "./cmd/cscs")
		cmd.Dir, cmd.Env = root, append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("list the modules for %s: %w: %s; a module may be missing here: go mod download", system, err, said.String())
		}
		for line := range strings.Lines(string(out)) {
			f := strings.Split(strings.TrimSpace(line), "\t")
			if len(f) != 3 {
				continue
			}
			if roots[f[0]] == "" {
				roots[f[0]], below[f[0]] = f[1], map[string]bool{}
			}
			for dir := f[2]; len(dir) > len(f[1]); dir = filepath.Dir(dir) {
				below[f[0]][dir] = true
			}
		}
	}
	var modules []source
	for _, name := range slices.Sorted(maps.Keys(roots)) {
		modules = append(modules, source{name, append([]string{roots[name]}, slices.Sorted(maps.Keys(below[name]))...)})
	}
	return modules, nil
}

// readDocuments returns the licences and notices of s. It returns an error if its root has no licence, or if a licence
// is not allowed.
func (s source) readDocuments() ([]document, error) {
	var all []document
	for i, dir := range s.dirs {
		found, err := readLicences(dir)
		if err != nil {
			return nil, err
		}
		if i == 0 && !slices.ContainsFunc(found, func(d document) bool { return len(d.ids) > 0 }) {
			return nil, fmt.Errorf("no licence in %s", dir)
		}
		all = append(all, found...)
	}
	return all, nil
}

// readLicences returns the licences and notices in dir, which may have none. It returns an error for a licence that is
// not allowed, and for a text that is not known for the most part.
func readLicences(dir string) ([]document, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []document
	for _, e := range entries {
		isLicence := licenceFile.MatchString(e.Name())
		if e.IsDir() || !isLicence && !noticeFile.MatchString(e.Name()) {
			continue
		}
		d := document{path: filepath.Join(dir, e.Name())}
		if d.text, err = os.ReadFile(d.path); err != nil {
			return nil, err
		}
		if isLicence {
			if d.ids, err = checkLicence(d.text); err != nil {
				return nil, fmt.Errorf("%s: %w", e.Name(), err)
			}
		}
		found = append(found, d)
	}
	return found, nil
}

// checkLicence returns the licences in text. It returns an error for one that is not allowed, and if the text is not
// known for the most part.
func checkLicence(text []byte) ([]string, error) {
	c := licensecheck.Scan(text)
	if c.Percent < 75 { // its authors' limit for a file that is a licence
		return nil, fmt.Errorf("only %.0f %% of it is a known licence", c.Percent)
	}
	var ids []string
	for _, m := range c.Match {
		if !slices.Contains(allowedLicences, m.ID) {
			return nil, fmt.Errorf("the licence %s is not allowed", m.ID)
		}
		ids = append(ids, m.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
