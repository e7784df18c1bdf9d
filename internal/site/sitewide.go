package site

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/regular"
)

// A siteFile is the file with which a centre ships clusters, a signing service, recipes and presets.
type siteFile struct {
	path  string // "": there is none
	named bool   // CSCS_SITE_CONFIG names it, so it must exist, and the user is responsible for it
}

// sitePath returns the place of the site-wide file: CSCS_SITE_CONFIG, with the null device for none,
// else the place of the system.
func sitePath() siteFile {
	switch p := os.Getenv("CSCS_SITE_CONFIG"); p {
	case "":
		return siteFile{path: systemSitePath()}
	case os.DevNull:
		return siteFile{}
	default:
		return siteFile{path: p, named: true}
	}
}

// mergeSiteFile reads the site-wide file.
func (c *Config) mergeSiteFile(wide siteFile) []*ConfigError {
	f, ps, problems := wide.parse(func(data []byte) { c.layers = append(c.layers, layer{name: wide.path, data: data}) })
	if f != nil {
		problems = append(problems, c.mergeFile(wide.path, f, ps, originSite)...)
	}
	for _, p := range problems {
		if p.Fix == "" && !wide.named {
			p.Fix = editSiteFile(wide.path)
		}
	}
	return SortProblems(problems)
}

// parse reads and decodes the file, and calls keep with its text. It returns nil, and no problem, if there
// is no file.
func (w siteFile) parse(keep func(data []byte)) (*file, positions, []*ConfigError) {
	if w.path == "" {
		return nil, nil, nil
	}
	path, err := w.path, error(nil)
	if !w.named {
		path, err = owndir.FindRootFile(w.path)
	}
	var data []byte
	if err == nil {
		data, _, err = regular.Read(path)
	}
	var unsafe *owndir.RootFileError
	switch {
	case errors.Is(err, fs.ErrNotExist) && !w.named:
		return nil, nil, nil
	case errors.As(err, &unsafe):
		return nil, nil, []*ConfigError{unsafeSiteFile(w.path, unsafe)}
	case err != nil:
		return nil, nil, []*ConfigError{unreadable(w.path, err)}
	}
	keep(data)
	return parseConfig(w.path, data)
}

// unsafeSiteFile returns the error for a file that others than root can change.
func unsafeSiteFile(path string, e *owndir.RootFileError) *ConfigError {
	what := "the file "
	if e.Path != path {
		what = e.Path + " "
	}
	return &ConfigError{File: path, Message: what + e.Reason + ", but only root may be able to change this file", Fix: e.Fix()}
}

// refuseTopLevel refuses what only users decide. ssh runs the commands of a configuration that it reads
// (Match exec). A connection that stays open can be used by every process of the user.
func (m *merger) refuseTopLevel(f *file) {
	if f.SSHConfig != "" {
		m.bad("ssh_config cannot be set for all users: ssh has a file for that, ssh_config(5)", "ssh_config")
	}
	if f.Persist != "" {
		m.bad("persist cannot be set for all users: each user decides how long a connection stays open", "persist")
	}
}

// refuseSettings refuses presets of a cluster that would change what a session runs, or who can reach
// it, without a word from the user. A recipe may have them, because the user asks for it by name.
func (m *merger) refuseSettings(cluster string, settings []Setting) {
	for _, s := range settings {
		if !mayPresetForAll(s.Flag) && s.Flag != "cluster" && s.Flag != "local-port" { // those are refused anyway
			key := keyOf(s.Flag)
			m.bad(fmt.Sprintf("%s cannot be set for a cluster and all users: set it in a recipe", key), "clusters", cluster, key)
		}
	}
}

// mayPresetForAll reports whether the site-wide file may preset the flag for a cluster. A flag that is
// new must be added here: every other flag is refused.
func mayPresetForAll(flag string) bool {
	switch flag {
	case "time", "account", "partition", "qos", "nodes", "nodelist", "gpus", "mem", "constraint", "reservation", "via", "queue-timeout",
		"start-timeout", "lease", "idle", "no-browser", "no-notify", "no-sign":
		return true
	}
	return false
}

// IsSiteWide reports whether the site-wide file has the setting.
func (c *Config) IsSiteWide(s Setting) bool { return c.SitePath != "" && s.Pos.File == c.SitePath }
