package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// readPages returns the lines of each man page of cmd, without the marks of roff.
func readPages(cmd *cobra.Command) map[string][]string {
	marks := strings.NewReplacer(`\fB`, "", `\fI`, "", `\fR`, "", `\-`, "-", `\(aq`, "'", `\(ti`, "~", `\(dq`, `"`, `\e`, `\`, `\&`, "")
	pages := map[string][]string{}
	for _, p := range manPages(cmd, time.Unix(1e9, 0)) {
		pages[p.path] = strings.Split(marks.Replace(string(p.text)), "\n")
	}
	return pages
}

// hasLine reports whether a line begins with prefix.
func hasLine(lines []string, prefix string) bool {
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// TestManPagesAreComplete checks that each command and topic has a page, that the page has all flags of the command
// and their groups, and that no page is of something else.
func TestManPagesAreComplete(t *testing.T) {
	root := newRootCommand(newDeps(&ui.IO{}))
	pages := readPages(root)
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		file := "man1/" + strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		page, ok := pages[file]
		if !ok {
			t.Errorf("there is no %s", file)
			return
		}
		delete(pages, file)
		for _, line := range []string{cmd.CommandPath() + " ", strings.Split(cmd.Long, "\n")[0]} {
			if !hasLine(page, line) {
				t.Errorf("%s does not have: %s", file, line)
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			value, usage := pflag.UnquoteUsage(f)
			name := strings.TrimSpace("--" + f.Name + " " + value)
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", " + name
			}
			lines := []string{name, strings.ReplaceAll(usage, "…", "...")}
			if g := f.Annotations[groupOf]; len(g) > 0 {
				lines = append(lines, `.SS "`+g[0]+`"`)
			}
			for _, line := range lines {
				if !hasLine(page, line) {
					t.Errorf("%s does not have: %s", file, line)
				}
			}
		})
		for _, c := range cmd.Commands() {
			check(c)
		}
	}
	check(root)
	for _, topic := range topics {
		file := topic.reference().Path()
		if page := pages[file]; !hasLine(page, topic.page+" - "+topic.short) || !hasLine(page, strings.Fields(topic.text)[0]) {
			t.Errorf("%s, the page of the topic %s, lacks its name or text", file, topic.name)
		}
		delete(pages, file)
	}
	for file := range pages {
		t.Errorf("%s is the page of no visible command or topic", file)
	}
}

// TestManPageSections checks that a page has the customary sections, and the flags as in the help.
func TestManPageSections(t *testing.T) {
	want := []string{
		`.SH "NAME"`, `.SH "SYNOPSIS"`, `.SH "DESCRIPTION"`,
		`.SH "OPTIONS"`, `.SS "Which"`, `.SS "Service"`, `.SS "Here"`, `.SS "Other"`,
		`.SH "EXAMPLES"`, `.SH "EXIT STATUS"`, `.SH "SEE ALSO"`,
		`.BR cscs-key (1),`, `.BR cscs (1),`, `.BR cscs-keys (7),`, `.BR cscs-sessions (7),`, `.BR cscs-config (5),`, `.BR cscs-exit-codes (7)`,
	}
	var got []string
	for _, line := range readPages(newRootCommand(newDeps(&ui.IO{})))["man1/cscs-key-sign.1"] {
		if strings.HasPrefix(line, ".S") || strings.HasPrefix(line, ".BR") {
			got = append(got, line)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestPageDate checks that the date does not depend on the time of the build.
func TestPageDate(t *testing.T) {
	commit := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.time", Value: "2026-11-23T12:00:00Z"}}}
	of := func(version string) *debug.BuildInfo { return &debug.BuildInfo{Main: debug.Module{Version: version}} }
	for _, c := range []struct {
		name, epoch string
		info        *debug.BuildInfo
		want        string // a day; "": a usage error
	}{
		{"epoch", "1000000000", commit, "2001-09-09"},
		{"commit", "", commit, "2026-11-23"},
		{"go install of a commit", "", of("v0.0.0-20261123120000-0123456789ab"), "2026-11-23"},
		{"go install of a commit after a tag", "", of("v1.2.4-0.20261123120000-0123456789ab"), "2026-11-23"},
		{"go install of a tag", "", of("v1.2.3"), ""},
		{"neither", "", &debug.BuildInfo{}, ""},
		{"no build", "", nil, ""},
		{"no number", "today", commit, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			date, err := pageDate(c.epoch, c.info)
			var usage *problem.UsageError
			if c.want == "" {
				if !errors.As(err, &usage) {
					t.Errorf("date %v, error %v", date, err)
				}
				return
			}
			if err != nil || date.UTC().Format(time.DateOnly) != c.want {
				t.Errorf("date %v, error %v", date, err)
			}
		})
	}
}

// TestManCommand writes the pages into a directory that it makes.
func TestManCommand(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	root := newRootCommand(newDeps(&ui.IO{}))
	dir := filepath.Join(t.TempDir(), "man")
	root.SetArgs([]string{"man", dir})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range manPages(newRootCommand(newDeps(&ui.IO{})), time.Unix(1e9, 0)) {
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(p.path)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(p.text), string(text)); diff != "" {
			t.Errorf("%s: %s", p.path, diff)
		}
	}
	root.SetArgs([]string{"man"})
	var usage *problem.UsageError
	if err := root.ExecuteContext(t.Context()); !errors.As(err, &usage) {
		t.Errorf("without a directory: %v", err)
	}
}

// TestManThroughLink: no page is written through a symbolic or a hard link, which may lead to a file of the user's. A file
// is replaced, and the directory itself may be a link.
func TestManThroughLink(t *testing.T) {
	pages := []manPage{{"man1/cscs.1", []byte("page")}}
	for _, link := range []string{"man1", "man1/cscs.1"} {
		dir, other := t.TempDir(), t.TempDir()
		target := filepath.Join(other, "cscs.1")
		if err := errors.Join(os.WriteFile(target, []byte("mine"), 0o600), os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755)); err != nil {
			t.Fatal(err)
		}
		to := map[string]string{"man1": other, "man1/cscs.1": target}[link]
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		err := writePages(dir, pages)
		if p := problem.Of(err); err == nil || p.Code != problem.Usage || !strings.Contains(p.Message, filepath.Join(dir, filepath.FromSlash(link))) {
			t.Errorf("%s: %v", link, err)
		}
		if got, err := os.ReadFile(target); err != nil || string(got) != "mine" {
			t.Errorf("%s: the target has %q, %v", link, got, err)
		}
	}
	hard, mine := t.TempDir(), filepath.Join(t.TempDir(), "mine")
	page := filepath.Join(hard, "man1", "cscs.1")
	if err := errors.Join(os.Mkdir(filepath.Dir(page), 0o755), os.WriteFile(mine, []byte("mine"), 0o600), os.Link(mine, page)); err != nil {
		t.Fatal(err)
	}
	if err := writePages(hard, pages); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{mine: "mine", page: "page"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("a hard link: %s has %q, %v", name, got, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "second"} {
		pages[0].text = []byte(text)
		if err := writePages(dir, pages); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir, "man1", "cscs.1")); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
}
