// Package site knows where a session can run: the built-in clusters, those of the site-wide file and of
// the user's config.toml, and those of ~/.ssh/config. It resolves the route to each, host by host.
//
// The first of these that sets a value wins: flag, CSCS_* environment (both in Overrides),
// config.toml, ~/.ssh/config, the site-wide file, built-in. The package asks ssh itself (ssh -G) about
// ~/.ssh/config, because no Go parser reads that file as OpenSSH does.
package site

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/alps-tunnel/cscs/internal/regular"
)

//go:embed clusters.toml
var builtin []byte

// Config is the configuration of all sites, before ssh is asked.
type Config struct {
	Path           string // of the user's config.toml, which may not exist
	SitePath       string // of the site-wide file, which may not exist; "": none
	DefaultCluster string // of the user's config.toml; may be empty

	// Ignored is a *ConfigError if the site-wide file has a mistake, or others than root can change it. Then
	// no part of it is used. What config.toml adds to a recipe or a signing service of that file does not count
	// either, and is no error: the user must still be able to stop a session.
	Ignored error
	// Hidden is a *ConfigError if this user cannot read the site-wide file, or cannot see whether there is
	// one. It needs no warning: all is as without the file.
	Hidden error

	clusters map[string]Cluster
	hosts    map[string]spec // of all files
	ownHosts map[string]spec // without those of the site-wide file
	signing  map[string]Signing
	recipes  map[string]Recipe
	own      []string // names of the clusters that config.toml mentions
	shipped  []string // names of the clusters that are built in or in the site-wide file
	made     []Made
	ssh      *asker
	base     *Config     // the built-in configuration alone
	layers   []layer     // the files that are merged, the first one first
	settings []Setting   // of all files, as they are written
	names    []reference // the names of clusters and services in them that no merge can judge

	persist     []Setting // persist at the top level, if set
	siteDefault string    // default_cluster of the site-wide file
	sshConfig   string    // instead of ~/.ssh/config, if not empty
}

// SSHConfigPath returns the path of the user's own configuration of ssh, which may not exist.
func (c *Config) SSHConfigPath() (string, error) {
	if c.sshConfig != "" {
		return filepath.Abs(c.sshConfig)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &HomeError{Sought: "~/.ssh/config", Err: err}
	}
	return filepath.Join(home, ".ssh", "config"), nil
}

// Made is a cluster that is made on demand. Make writes a file in the format of config.toml, with host,
// port, user, identity and known_hosts of each host of the route. That file is complete: neither ssh
// nor the overrides count. A cluster of the user's config.toml with the same name has precedence; the
// site-wide file cannot have one.
type Made struct {
	Name string
	Make func(context.Context) (file string, err error)
}

// A Cluster is a Slurm site and the route to its login node.
type Cluster struct {
	Name     string
	Settings []Setting // flags that the files preset for it, those of the user's config.toml first
	Signing  string    // the service that signs keys for it; empty if none is known
	Dir      string    // of a made cluster: the directory of its files; else ""

	spec spec
}

// Host returns the configured name of the login node, before ssh is asked.
func (c Cluster) Host() string { return c.spec.host }

// A Recipe is a command with a name in config.toml or the site-wide file.
type Recipe struct {
	Name     string
	Command  []string
	Settings []Setting // the flags that it presets, including "port"
}

// A spec is the configuration of one host, before ssh is asked.
type spec struct {
	name     string   // for messages
	alias    string   // preferred to host, if ~/.ssh/config defines it
	host     string   // the configured host name
	hostSet  bool     // a file sets host; else it is the name
	login             // of config.toml or the built-in clusters, which counts before ~/.ssh/config
	site     login    // of the site-wide file, which counts after ~/.ssh/config
	jump     []string // the jump hosts, outermost first
	jumpSet  bool     // config.toml sets jump, so ~/.ssh/config cannot
	complete bool     // ssh and overrides are not asked: see Made
}

// A login is what a file sets for a host. An empty value is not set.
type login struct {
	user, identity string
	port           int
	knownHosts     string // a file: in place of ssh's, or for site in addition to them
}

// A HomeError reports that the home directory, which contains Sought, is not known.
type HomeError struct {
	Sought string
	Err    error
}

func (e *HomeError) Error() string { return "find " + e.Sought + ": " + e.Err.Error() }
func (e *HomeError) Unwrap() error { return e.Err }

// ConfigPath returns the path of the user's config.toml: $CSCS_CONFIG, else cscs/config.toml in
// $XDG_CONFIG_HOME, else in ~/.config, or in %AppData% on Windows. macOS uses ~/.config too, where
// users of terminals keep such files; one documented place is enough.
func ConfigPath() (string, error) {
	if p := os.Getenv("CSCS_CONFIG"); p != "" {
		return p, nil
	}
	dir := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) { // the XDG specification ignores a relative path
		var err error
		if runtime.GOOS == "windows" {
			dir, err = os.UserConfigDir()
		} else {
			dir, err = os.UserHomeDir()
			dir = filepath.Join(dir, ".config")
		}
		if err != nil {
			return "", &HomeError{Sought: "config.toml", Err: err}
		}
	}
	return filepath.Join(dir, "cscs", "config.toml"), nil
}

func isConfigNamed() bool { return os.Getenv("CSCS_CONFIG") != "" }

// Load reads the built-in clusters, the site-wide file and the user's config.toml. The files need not
// exist unless CSCS_SITE_CONFIG or CSCS_CONFIG names them. A site-wide file with an error is not used:
// see Config.Ignored. Load does not judge the values of presets.
func Load(made ...Made) (*Config, error) { return LoadWith(nil, made...) }

// A Judge returns what is wrong with the values of a preset, or nil.
type Judge func(Setting) *ConfigError

// LoadWith is Load with a judge of the presets in the site-wide file. A value that it refuses is an error in that file.
func LoadWith(judge Judge, made ...Made) (*Config, error) {
	return load(findSiteFile(), judge, made)
}

func load(wide siteFile, judge Judge, made []Made) (*Config, error) {
	path, err := ConfigPath()
	if err != nil {
		return nil, err
	}
	wide = wide.unlessIs(path)
	c := newConfig(path, wide, made)
	if problems := c.mergeSiteFile(wide, judge); len(problems) > 0 {
		c = newConfig(path, wide, made)
		c.Ignored = problems[0]
	}
	if problems := c.mergeUserFile(isConfigNamed()); len(problems) > 0 {
		return nil, problems[0]
	}
	c.ssh = newAsker(c.sshConfig)
	return c, nil
}

// newConfig returns the built-in configuration.
func newConfig(path string, wide siteFile, made []Made) *Config {
	c := &Config{Path: path, SitePath: wide.path, clusters: map[string]Cluster{}, hosts: map[string]spec{}, ownHosts: map[string]spec{}, signing: map[string]Signing{}, recipes: map[string]Recipe{}, made: made}
	if problems := c.mergeText("clusters.toml", builtin, originBuiltIn); len(problems) > 0 {
		panic(problems[0]) // every test finds this error
	}
	c.base = &Config{clusters: maps.Clone(c.clusters), hosts: maps.Clone(c.hosts), signing: maps.Clone(c.signing)}
	return c
}

// mergeText merges a file with this text. It returns what is wrong with the file: first what is wrong with the text,
// because the rest may follow from that.
func (c *Config) mergeText(name string, data []byte, from origin) []*ConfigError {
	c.layers = append(c.layers, layer{name: name, data: data, from: from})
	f, ps, problems := parseConfig(name, data)
	if f != nil {
		problems = append(problems, c.mergeFile(name, f, ps, from)...)
	}
	if f != nil && from == originUser {
		c.sshConfig = f.SSHConfig
	}
	return SortProblems(problems)
}

// mergeUserFile reads the user's config.toml. If it is named, it must exist.
func (c *Config) mergeUserFile(named bool) (problems []*ConfigError) {
	data, err := os.ReadFile(c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
	case err != nil:
		problems = []*ConfigError{newReadError(c.Path, err)}
	default:
		problems = c.mergeText(c.Path, data, originUser)
	}
	c.sshConfig = expandHome(cmp.Or(os.Getenv("CSCS_SSH_CONFIG"), c.sshConfig))
	return problems
}

// newReadError returns the error for a file that cannot be read.
func newReadError(path string, err error) *ConfigError {
	return &ConfigError{File: path, Message: "cannot be read: " + regular.Reason(err).Error()}
}

// Known returns the sorted names of the clusters that are known without ssh.
func (c *Config) Known() []string {
	names := slices.Collect(maps.Keys(c.clusters))
	for _, m := range c.made {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Makes reports whether the cluster with this name is made on demand.
func (c *Config) Makes(name string) bool {
	_, own := c.clusters[name]
	return !own && slices.ContainsFunc(c.made, func(m Made) bool { return m.Name == name })
}

// Default returns the cluster to use if none is named: default_cluster of config.toml, else the only
// cluster that config.toml mentions, else default_cluster of the site-wide file, else "". So a new
// site-wide file does not change where a user's sessions run.
func (c *Config) Default() string {
	if c.DefaultCluster == "" && len(c.own) == 1 {
		return c.own[0]
	}
	return cmp.Or(c.DefaultCluster, c.siteDefault)
}

// Recipe returns the recipe with this name.
func (c *Config) Recipe(name string) (Recipe, error) {
	r, ok := c.recipes[name]
	if !ok {
		known := slices.Sorted(maps.Keys(c.recipes))
		return r, &UnknownRecipeError{Name: name, Nearest: Nearest(name, known), Known: known, File: c.Path}
	}
	return r, nil
}

// expandHome replaces a leading ~, as a shell does.
func expandHome(p string) string {
	if p == "~" || strings.HasPrefix(p, "~/") || strings.HasPrefix(p, `~\`) {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, p[1:])
		}
	}
	return p
}

// Recipes returns the sorted names of the recipes.
func (c *Config) Recipes() []string { return slices.Sorted(maps.Keys(c.recipes)) }

// Presets returns the sorted values that the files preset for a flag, in recipes and in the named
// cluster, or in any cluster for "".
func (c *Config) Presets(flag, cluster string) []string {
	var values []string
	add := func(settings []Setting) {
		for _, s := range settings {
			if s.Flag == flag {
				values = append(values, s.Values...)
			}
		}
	}
	for name, cl := range c.clusters {
		if cluster == "" || name == cluster {
			add(cl.Settings)
		}
	}
	for _, r := range c.recipes {
		add(r.Settings)
	}
	slices.Sort(values)
	return values
}
