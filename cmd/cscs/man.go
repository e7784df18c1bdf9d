package main

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/alps-tunnel/cscs/internal/man"
	"github.com/alps-tunnel/cscs/internal/problem"
)

// newManCommand returns the command that writes the man pages. Packages have them; other users can write their own.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the man pages",
		Long: `Write the man pages of this version into a directory of the manual, in which the
pages of each section have a directory of their own. Their date is that of
SOURCE_DATE_EPOCH, otherwise that of the commit from which cscs was built.`,
		Example: `  cscs man ~/.local/share/man && man cscs-run`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return &problem.UsageError{Message: "which directory are the man pages for?", Hint: "cscs man DIR"}
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			info, _ := debug.ReadBuildInfo()
			date, err := pageDate(os.Getenv("SOURCE_DATE_EPOCH"), info)
			if err != nil {
				return err
			}
			return writePages(args[0], manPages(cmd.Root(), date))
		},
	}
}

// writePages writes the pages below dir. It replaces files, and refuses to write through a symbolic link below dir: the
// link may have been made by another user.
func writePages(dir string, pages []manPage) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // all users read manual pages
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, p := range pages {
		section := path.Dir(p.path)
		for _, name := range []string{section, p.path} {
			if info, err := root.Lstat(name); err == nil && info.Mode().Type() == fs.ModeSymlink {
				link := filepath.Join(dir, filepath.FromSlash(name))
				return &problem.UsageError{Message: link + " is a symbolic link, through which no page is written", Hint: "remove it, or give another directory: cscs man DIR"}
			}
		}
		if err := root.MkdirAll(section, 0o755); err != nil {
			return err
		}
		if err := replaceFile(root, p.path, p.text); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile writes a file and gives it a name that another file may have. That one keeps its text: it may be a file
// of this user, to which another user has made a hard link.
func replaceFile(root *os.Root, name string, text []byte) error {
	unfinished := name + ".new"
	if err := root.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Rename(unfinished, name)
}

// pseudoVersion matches the version of a module at a commit without a tag, which has the commit's time
// (https://go.dev/ref/mod#pseudo-versions).
var pseudoVersion = regexp.MustCompile(`[-.](\d{14})-[0-9a-f]{12}(\+|$)`)

// pageDate returns the date of the pages: that of SOURCE_DATE_EPOCH, in seconds, otherwise of the commit. A build by
// go install knows the commit's time only from a pseudo-version.
func pageDate(epoch string, info *debug.BuildInfo) (time.Time, error) {
	if epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return time.Time{}, problem.Usagef("SOURCE_DATE_EPOCH %s: it is no number of seconds", quoteWord(epoch))
		}
		return time.Unix(seconds, 0), nil
	}
	if info != nil {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				return time.Parse(time.RFC3339, s.Value)
			}
		}
		if m := pseudoVersion.FindStringSubmatch(info.Main.Version); m != nil {
			return time.Parse("20060102150405", m[1])
		}
	}
	return time.Time{}, &problem.UsageError{
		Message: "the man pages have no date: SOURCE_DATE_EPOCH is not set, and this build does not know when its commit was made",
		Hint:    "for the date of today: export SOURCE_DATE_EPOCH=$(date +%s)",
	}
}

// A manPage is a page of the manual.
type manPage struct {
	path string // below the directory of the manual, such as man1/cscs-run.1
	text []byte
}

// manPages returns a page for each visible command below root, root's own, and one for each topic.
func manPages(root *cobra.Command, date time.Time) []manPage {
	root.InitDefaultHelpCmd()
	source := strings.TrimSpace("cscs " + version)
	pages := commandPages(root, date, source)
	for _, t := range topics {
		page := man.NewPage(t.reference(), date, source, t.short)
		page.AddHeading("Description")
		page.AddText(t.text)
		page.AddHeading("See also")
		page.AddReferences(relatedPages(root, t.page))
		pages = append(pages, manPage{t.reference().Path(), page.Bytes()})
	}
	return pages
}

// commandPages returns the page of cmd and those of its subcommands.
func commandPages(cmd *cobra.Command, date time.Time, source string) []manPage {
	page := man.NewPage(commandReference(cmd), date, source, cmd.Short)
	page.AddHeading("Synopsis")
	page.AddSynopsis(cmd.CommandPath(), strings.TrimSpace(strings.TrimPrefix(usageLine(cmd), cmd.CommandPath())))
	page.AddHeading("Description")
	page.AddText(cmp.Or(cmd.Long, cmd.Short+"."))
	subcommands := visibleCommands(cmd)
	if len(subcommands) > 0 {
		page.AddHeading("Commands")
	}
	for _, c := range subcommands {
		page.AddItem(c.Name(), "", c.Short)
	}
	addFlags(page, cmd.Flags())
	if cmd.HasExample() {
		page.AddHeading("Examples")
		page.AddCode(strings.ReplaceAll(strings.TrimPrefix(cmd.Example, "  "), "\n  ", "\n"))
	}
	if cmd.Annotations[showsExitStatus] != "" {
		page.AddText(exitStatus)
	}
	page.AddHeading("See also")
	page.AddReferences(relatedPages(cmd, commandReference(cmd).Name))
	pages := []manPage{{commandReference(cmd).Path(), page.Bytes()}}
	for _, c := range subcommands {
		pages = append(pages, commandPages(c, date, source)...)
	}
	return pages
}

// addFlags adds the flags in the groups of the help. A command whose flags are in no group has one list.
func addFlags(page *man.Page, flags *pflag.FlagSet) {
	page.AddHeading("Options")
	groups := groupFlags(flags)
	for _, g := range groups {
		if len(groups) > 1 {
			page.AddSubheading(g.title)
		}
		g.flags.VisitAll(func(f *pflag.Flag) {
			name := "--" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", " + name
			}
			value, text := pflag.UnquoteUsage(f)
			page.AddItem(name, value, text)
		})
	}
}

// relatedPages returns the pages to which that of a command or topic refers: those of the commands above and
// below it, and the topics.
func relatedPages(cmd *cobra.Command, name string) []man.Reference {
	var pages []man.Reference
	add := func(r man.Reference) {
		if r.Name != name {
			pages = append(pages, r)
		}
	}
	cmd.VisitParents(func(c *cobra.Command) { add(commandReference(c)) })
	add(commandReference(cmd))
	if name == commandReference(cmd).Name {
		for _, c := range visibleCommands(cmd) {
			add(commandReference(c))
		}
	}
	for _, t := range topics {
		add(t.reference())
	}
	return pages
}

func commandReference(cmd *cobra.Command) man.Reference {
	return man.Reference{Name: strings.ReplaceAll(cmd.CommandPath(), " ", "-"), Section: 1}
}

func (t topic) reference() man.Reference { return man.Reference{Name: t.page, Section: t.section} }
