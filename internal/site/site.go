// Package site knows where a session can run: the clusters that are built in,
// those of the user's config.toml, and those of ~/.ssh/config; and the way to
// each, host by host.
//
// A value is looked for in this order, and the first that is set wins: flag,
// CSCS_* environment (both come in as Overrides), config.toml, ~/.ssh/config,
// built-in. What ~/.ssh/config says is asked of ssh itself (ssh -G), because no
// parser obtainable for Go reads that file as OpenSSH does.
package site

import (
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
)

//go:embed clusters.toml
var builtin []byte

// Config is everything that is known about sites before ssh is asked.
type Config struct {
	Path           string // of the user's config.toml, whether it exists or not
	DefaultCluster string // may be empty

	clusters map[string]Cluster
	hosts    map[string]spec
	signing  map[string]Signing
	recipes  map[string]Recipe
	own      []string // names of the clusters that config.toml mentions
	builtin  []string // names of those that are built in
	made     []Made
	ssh      *asker

	persist   []Setting // persist at the top level, if it is set
	sshConfig string    // instead of ~/.ssh/config, if not empty
}

// SSHConfigPath is the user's own configuration of ssh, whether it exists or not.
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

// Made is a cluster that is made when it is asked for. Whoever makes it describes it in a
// file of the form of config.toml, with host, port, user, identity and known_hosts of
// each host of the way: that is all that there is to know, and neither ssh nor the user's
// overrides are asked. One of config.toml that has the name is preferred.
type Made struct {
	Name string
	Make func(context.Context) (file string, err error)
}

// A Cluster is a Slurm site and how to get to its login node.
type Cluster struct {
	Name     string
	Settings []Setting // flags that config.toml presets for it
	Signing  string    // the service that signs keys for it; empty: none that we know of
	Dir      string    // of one that was made: where its files are, and other files about it may be; else ""

	spec spec
}

// Host is the name of the login node as it was configured, before ssh was asked.
func (c Cluster) Host() string { return c.spec.host }

// A Recipe is a command that config.toml gives a name.
type Recipe struct {
	Name     string
	Command  []string
	Settings []Setting // the flags that it presets, "port" among them
}

// A spec is what is configured about one host, before ssh is asked.
type spec struct {
	name       string   // as messages call it
	alias      string   // the name that ~/.ssh/config may know; preferred, if it does
	host       string   // else this
	user       string   // configured for this host
	identity   string   // configured for this host
	port       int      // configured for this host
	jump       []string // the jump hosts, outermost first
	jumpSet    bool     // config.toml says so, which ~/.ssh/config cannot change
	knownHosts string   // a known_hosts file, in place of ssh's
	complete   bool     // nothing more is asked of anybody: see Made
}

// A HomeError tells that the user's home directory is not known, and so not where something is.
type HomeError struct {
	Sought string
	Err    error
}

func (e *HomeError) Error() string { return "find " + e.Sought + ": " + e.Err.Error() }
func (e *HomeError) Unwrap() error { return e.Err }

// ConfigPath is where the user's config.toml is looked for: $CSCS_CONFIG, else
// cscs/config.toml below $XDG_CONFIG_HOME, else below ~/.config, on macOS too
// (that is where people who live in terminals keep such files, and one
// documented place beats two), and below %AppData% on Windows.
func ConfigPath() (string, error) {
	if p := os.Getenv("CSCS_CONFIG"); p != "" {
		return p, nil
	}
	dir := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) { // the XDG specification: a relative one is to be ignored
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

// Load reads the built-in clusters and the user's config.toml, which need not exist
// unless CSCS_CONFIG names it.
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
		return nil, fmt.Errorf("read the built-in clusters: %w", err) // a test sees to it that this never happens
	}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && os.Getenv("CSCS_CONFIG") == "":
	case err != nil:
		return nil, &ConfigError{File: path, Message: "cannot be read: " + reasonWithoutPath(err)}
	default:
		f, ps, err := parseConfig(path, data)
		if err != nil {
			return nil, err
		}
		if err := c.mergeFile(path, f, ps, originUser); err != nil {
			return nil, err
		}
		if sshConfig == "" {
			sshConfig = f.SSHConfig
		}
	}
	c.sshConfig = expandHome(sshConfig)
	c.ssh = newAsker(c.sshConfig)
	return c, nil
}

// reasonWithoutPath is an error of the file system without the path, which is told already.
func reasonWithoutPath(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// Known are the names of the clusters that need no ssh to be known, sorted.
func (c *Config) Known() []string {
	names := slices.Collect(maps.Keys(c.clusters))
	for _, m := range c.made {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Makes reports whether the cluster of that name is one that is made when it is asked for.
func (c *Config) Makes(name string) bool {
	_, own := c.clusters[name]
	return !own && slices.ContainsFunc(c.made, func(m Made) bool { return m.Name == name })
}

// Default is the cluster that is meant when none is named: default_cluster of
// config.toml, else the only one that config.toml speaks of, else none.
func (c *Config) Default() string {
	if c.DefaultCluster == "" && len(c.own) == 1 {
		return c.own[0]
	}
	return c.DefaultCluster
}

// Recipe is the recipe of that name.
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

// Recipes are the names of the recipes, sorted.
func (c *Config) Recipes() []string { return slices.Sorted(maps.Keys(c.recipes)) }

// Presets are the values that config.toml presets for a flag: for that cluster and for recipes, or, with
// "", for any cluster.
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
