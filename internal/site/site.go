// Package site knows where a session can run: the built-in clusters, those of the user's config.toml,
// and those of ~/.ssh/config. It resolves the route to each, host by host.
//
// The first of these that sets a value wins: flag, CSCS_* environment (both in Overrides),
// config.toml, ~/.ssh/config, built-in. The package asks ssh itself (ssh -G) about ~/.ssh/config,
// because no Go parser reads that file as OpenSSH does.
package site

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
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
	DefaultCluster string // may be empty

	clusters map[string]Cluster
	hosts    map[string]spec
	signing  map[string]Signing
	recipes  map[string]Recipe
	own      []string // names of the clusters that config.toml mentions
	builtin  []string // names of the built-in clusters
	made     []Made
	ssh      *asker

	persist   []Setting // persist at the top level, if set
	sshConfig string    // instead of ~/.ssh/config, if not empty
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
// nor the overrides count. A cluster of config.toml with the same name has precedence.
type Made struct {
	Name string
	Make func(context.Context) (file string, err error)
}

// A Cluster is a Slurm site and the route to its login node.
type Cluster struct {
	Name     string
	Settings []Setting // flags that config.toml presets for it
	Signing  string    // the service that signs keys for it; empty if none is known
	Dir      string    // of a made cluster: the directory of its files; else ""

	spec spec
}

// Host returns the configured name of the login node, before ssh is asked.
func (c Cluster) Host() string { return c.spec.host }

// A Recipe is a command with a name in config.toml.
type Recipe struct {
	Name     string
	Command  []string
	Settings []Setting // the flags that it presets, including "port"
}

// A spec is the configuration of one host, before ssh is asked.
type spec struct {
	name       string   // for messages
	alias      string   // preferred to host, if ~/.ssh/config defines it
	host       string   // the configured host name
	user       string   // configured for this host
	identity   string   // configured for this host
	port       int      // configured for this host
	jump       []string // the jump hosts, outermost first
	jumpSet    bool     // config.toml sets jump, so ~/.ssh/config cannot
	knownHosts string   // a known_hosts file, in place of ssh's
	complete   bool     // ssh and overrides are not asked: see Made
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

// Load reads the built-in clusters and the user's config.toml. That need not exist unless CSCS_CONFIG names it.
func Load(made ...Made) (*Config, error) {
	path, err := ConfigPath()
	if err != nil {
		return nil, err
	}
	c := &Config{Path: path, clusters: map[string]Cluster{}, hosts: map[string]spec{}, signing: map[string]Signing{}, recipes: map[string]Recipe{}, made: made}
	sshConfig := os.Getenv("CSCS_SSH_CONFIG")
	base, ps, err := parseConfig("clusters.toml", builtin)
	if err == nil {
		err = c.mergeFile("clusters.toml", base, ps, originBuiltIn)
	}
	if err != nil {
		return nil, fmt.Errorf("read the built-in clusters: %w", err) // a test ensures that this never happens
	}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && os.Getenv("CSCS_CONFIG") == "":
	case err != nil:
		return nil, &ConfigError{File: path, Message: "cannot be read: " + regular.Reason(err).Error()}
	default:
		f, ps, err := parseConfig(path, data)
		if err != nil {
			return nil, err
		}
		if err := c.mergeFile(path, f, ps, originUser); err != nil {
			return nil, err
		}
		sshConfig = cmp.Or(sshConfig, f.SSHConfig)
	}
	c.sshConfig = expandHome(sshConfig)
	c.ssh = newAsker(c.sshConfig)
	return c, nil
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
// cluster that config.toml mentions, else "".
func (c *Config) Default() string {
	if c.DefaultCluster == "" && len(c.own) == 1 {
		return c.own[0]
	}
	return c.DefaultCluster
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

// Presets returns the sorted values that config.toml presets for a flag, in recipes and in the named
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
