package site

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/regular"
)

// A siteFile is the file with which a centre ships clusters, a signing service, recipes and presets.
type siteFile struct {
	path  string // "": there is none
	named bool   // CSCS_SITE_CONFIG names it, so it must exist, and the user is responsible for it

	// find resolves the path, and returns an *owndir.RootFileError if others than root can change the file. It is
	// not called for a named file.
	find func(path string) (string, error)
}

// findSiteFile returns the place of the site-wide file: CSCS_SITE_CONFIG, with the null device for none,
// else the place of the system.
func findSiteFile() siteFile {
	switch p := os.Getenv("CSCS_SITE_CONFIG"); p {
	case "":
		return siteFile{path: systemSitePath(), find: owndir.FindRootFile}
	case os.DevNull:
		return siteFile{}
	default:
		return siteFile{path: p, named: true}
	}
}

// SitePath returns the path of the site-wide file, which may not exist. It returns "" if there is none.
func SitePath() string { return findSiteFile().path }

// unlessIs returns the file, or none if path leads to the same file: what a user names as config.toml is the user's.
func (w siteFile) unlessIs(path string) siteFile {
	if w.isAt(path) {
		return siteFile{}
	}
	return w
}

// isAt reports whether path leads to the file.
func (w siteFile) isAt(path string) bool {
	if w.path == "" || path == "" {
		return false
	}
	mine, err := os.Stat(w.path)
	other, otherErr := os.Stat(path)
	return w.path == path || err == nil && otherErr == nil && os.SameFile(mine, other)
}

// mergeSiteFile reads the site-wide file. It returns what is wrong with it, also with its presets unless judge is nil.
func (c *Config) mergeSiteFile(wide siteFile, judge Judge) []*ConfigError {
	if wide.path == "" {
		return nil
	}
	data, err := wide.read()
	var unsafe *owndir.RootFileError
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && !wide.named:
		return nil
	case (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR)) && !wide.named:
		hidden := newReadError(wide.path, err)
		hidden.Advice = "ask who administers this machine: each user must be able to read the file"
		c.Hidden = hidden
		return nil
	case errors.As(err, &unsafe):
		return []*ConfigError{newUnsafeError(wide.path, unsafe)}
	default:
		return []*ConfigError{newReadError(wide.path, err)}
	}
	problems := append(c.mergeText(wide.path, data, originSite), judgeSettings(c.settings, judge)...)
	for _, p := range problems {
		if !wide.named {
			p.Fix = editSiteFile(wide.path)
		}
	}
	return problems
}

// judgeSettings returns what judge, which may be nil, finds wrong with the settings.
func judgeSettings(settings []Setting, judge Judge) (problems []*ConfigError) {
	if judge == nil {
		return nil
	}
	for _, s := range settings {
		if bad := judge(s); bad != nil {
			problems = append(problems, bad)
		}
	}
	return problems
}

// read returns the text of the file.
func (w siteFile) read() ([]byte, error) {
	path := w.path
	if !w.named {
		var err error
		if path, err = w.find(w.path); err != nil {
			return nil, err
		}
	}
	data, _, err := regular.Read(path)
	return data, err
}

// newUnsafeError returns the error for a file that others than root can change. It has no command: each one that makes
// the file trusted would trust what another user may have written.
func newUnsafeError(path string, e *owndir.RootFileError) *ConfigError {
	what := "the file "
	if e.Path != path {
		what = e.Path + " "
	}
	return &ConfigError{File: path, Message: what + e.Reason + ", but only root may be able to change this file",
		Advice: "ask who administers this machine to check the content, which another user may have written, and then to correct owner and permissions, or to remove the file"}
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
		key := keyOf(s.Flag)
		switch {
		case s.Flag == "cluster" || s.Flag == "local-port": // those are refused for every file
		case !mayPresetForAll(s.Flag):
			m.bad(fmt.Sprintf("%s cannot be set for a cluster and all users: set it in a recipe", key), "clusters", cluster, key)
		case s.Flag == "lease" && isZeroTime(s.Values[0]):
			m.bad("lease cannot be 0 for all users: no job may run without its owner until its time limit, unless the user asks for that", "clusters", cluster, key)
		}
	}
}

// isZeroTime reports whether a text is a time span of 0.
func isZeroTime(text string) bool {
	d, err := time.ParseDuration(text)
	return err == nil && d == 0
}

// refuseJump refuses a jump host with a user or a port. Those would count before the flags and ~/.ssh/config. Those of
// a [hosts] table of the site-wide file count after them.
func (m *merger) refuseJump(cluster string, jump spec) {
	if jump.user != "" || jump.port != 0 {
		m.bad(fmt.Sprintf("a jump host for all users has no user and no port: set them in [hosts.NAME], and write jump = [\"NAME\"] for %s", jump.host), "clusters", cluster, "jump")
	}
}

// refuseService refuses another signing service for a built-in cluster. Secrets that users have for its own service
// (passwords, stored tokens, CSCS_API_KEY) would be sent to the other one.
func (m *merger) refuseService(cluster, service string) {
	_, isBuiltIn := m.base.clusters[cluster]
	_, isOwn := m.base.signing[service]
	if isBuiltIn && !isOwn && service != "" {
		m.bad(fmt.Sprintf("%s is built in: its signing service cannot be one of this file for all users, because secrets are sent to it", cluster), "clusters", cluster, "signing")
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

// UsesSiteFile reports whether there is a site-wide file that is not ignored.
func (c *Config) UsesSiteFile() bool {
	return slices.ContainsFunc(c.layers, func(l layer) bool { return l.from == originSite })
}

// IsSiteWide reports whether the site-wide file has the setting.
func (c *Config) IsSiteWide(s Setting) bool { return c.SitePath != "" && s.Pos.File == c.SitePath }
