// Package bugreport writes what a maintainer needs to know about a machine and the route from it, for a public issue.
//
// The report is built from parts that are known to be harmless: IDs, statuses, exit codes, numbers, versions, names of
// Go types, texts of error numbers, and the keys of configuration files. It contains no message, no value and no text
// from another host. Names are replaced by a word and a number, except for those of the built-in configuration. A
// filter that removes what looks like a secret would miss what it does not know.
package bugreport

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/site"
)

// A Report has what is known of a machine and of the route from it. Text leaves out most of it.
type Report struct {
	Version      string // of cscs, with its commit, compiler and system
	System       string // the distribution or release of the system
	SSH          string // the version of the ssh program
	Cluster      string // whose route the checks followed
	Results      []doctor.Result
	Settings     File     // config.toml
	SiteSettings File     // the site-wide file
	SSHConfig    File     // the user's configuration of ssh
	Env          []string // the names of the environment variables that are set, of those that cscs uses
	Ended        []registry.Ended
	Now          time.Time
	// IsProblem reports whether an ID is in the catalogue of problems. Only those are in the text: an ID may come from a
	// file or, in part, from another host.
	IsProblem func(id string) bool
}

// A File is what is known of a configuration file.
type File struct {
	Data []byte
	Err  error // why Data is missing
}

// Text returns the report as plain text.
func (r Report) Text() string {
	m := newMask()
	var b strings.Builder
	fmt.Fprintf(&b, "cscs doctor --report (no values, addresses or texts; unknown names have a number)\n\n")
	fmt.Fprintf(&b, "version: %s\nsystem:  %s\nssh:     %s\n\n", r.Version, r.System, r.SSH)
	fmt.Fprintf(&b, "checks on the route to %s:\n", m.label("cluster", r.Cluster))
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, res := range r.Results {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%.1f s\t%s\n", res.Status, res.Check, m.host(res.Host), res.Took, r.describeResult(res))
	}
	_ = w.Flush() // a strings.Builder accepts everything
	table := b.String()
	b.Reset()
	for line := range strings.Lines(table) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	b.WriteString("\nconfig.toml: " + describeFile(r.Settings, func(data []byte) string { return describeSettings(data, m) }))
	b.WriteString("\nsite-wide file: " + describeFile(r.SiteSettings, func(data []byte) string { return describeSettings(data, m) }))
	b.WriteString("\nssh config: " + describeFile(r.SSHConfig, func(data []byte) string { return listOr(site.SSHShape(data), "nothing is set") }))
	b.WriteString("\nenvironment: " + listOr(r.Env, "nothing is set"))
	b.WriteString("\nended sessions, the latest last:")
	if len(r.Ended) == 0 {
		b.WriteString(" none")
	}
	for _, e := range r.Ended {
		b.WriteString("\n  " + r.describeEnded(e, m))
	}
	return b.String() + "\n"
}

// describeResult returns what is wrong, as the problem's ID, the exit code and the kinds of errors, and the facts.
func (r Report) describeResult(res doctor.Result) string {
	var parts []string
	if res.Problem != "" {
		parts = append(parts, r.problemID(res.Problem))
	}
	if res.Code != nil {
		parts = append(parts, fmt.Sprintf("exit code %d", *res.Code))
	}
	if causes := listCauses(res.Err); len(causes) > 0 {
		parts = append(parts, strings.Join(causes, " > "))
	}
	if res.Facts != "" {
		parts = append(parts, res.Facts)
	}
	return strings.Join(parts, "; ")
}

// problemID returns the ID of a problem, or "other" if it is unknown.
func (r Report) problemID(id string) string {
	if !r.IsProblem(id) {
		return "other"
	}
	return id
}

// describeFile describes the content of a file, or says why it is missing.
func describeFile(f File, describe func([]byte) string) string {
	switch {
	case errors.Is(f.Err, fs.ErrNotExist):
		return "there is none"
	case f.Err != nil:
		return "not read"
	}
	return describe(f.Data)
}

func describeSettings(data []byte, m *mask) string {
	shape, err := site.Shape(data, m.label)
	if err != nil {
		return "it is no valid TOML"
	}
	return listOr(shape, "nothing is set")
}

func listOr(all []string, none string) string {
	if len(all) == 0 {
		return none
	}
	return strings.Join(all, ", ")
}

// builtInApps are the names of apps that are not the user's choice.
var builtInApps = []string{"jupyter", "tensorboard", "run", "tunnel"}

// describeEnded returns the app, the cluster, the time since the end, the exit code and the problem of a session.
func (r Report) describeEnded(e registry.Ended, m *mask) string {
	app := e.App
	if !slices.Contains(builtInApps, app) {
		app = m.label("recipe", app)
	}
	s := fmt.Sprintf("%s on %s, %s ago", app, m.label("cluster", e.Cluster), r.Now.Sub(e.Ended).Round(time.Minute))
	if e.Code != nil {
		s += fmt.Sprintf(", exit code %d", *e.Code)
	}
	if e.Problem != "" {
		s += ", " + r.problemID(e.Problem)
	}
	return s
}
