package site

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// A layer is a file that was merged.
type layer struct {
	name string
	data []byte
	from origin
}

// An Entry is a key of the merged configuration with the value that counts.
type Entry struct {
	Path  []string // clusters, daint, env, HF_HOME
	Value any      // as TOML is decoded; nil for a table without a key, such as [clusters.daint]
	Pos   Position // without a file for a built-in value; without a line for the only cluster of config.toml
}

// Entries returns the merged configuration: the keys of the top level, then the tables, sorted.
func (c *Config) Entries() []Entry {
	merged, builtIn := map[string]layerEntry{}, map[string]layerEntry{}
	for _, l := range c.layers {
		var tree map[string]any
		if toml.Unmarshal(l.data, &tree) != nil {
			continue // Load has refused the file
		}
		ps := positions{}
		if l.from != originBuiltIn {
			ps = findPositions(l.name, l.data)
		}
		var entries []Entry
		collectEntries(&entries, tree, nil, func(path []string) Position {
			if l.from == originBuiltIn {
				return Position{}
			}
			return ps.keyPosition(l.name, path...)
		})
		for _, e := range entries {
			hideEntries(merged, builtIn, e, l.from)
		}
		for _, e := range entries {
			merged[strings.Join(e.Path, keySep)] = layerEntry{e, l.from}
		}
		if l.from == originBuiltIn {
			builtIn = maps.Clone(merged)
		}
	}
	if name := c.Default(); name != "" {
		merged["default_cluster"] = layerEntry{Entry: c.defaultEntry(name, merged["default_cluster"].Entry)}
	}
	var out []Entry
	for _, e := range merged {
		out = append(out, e.Entry)
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(min(len(a.Path), 2), min(len(b.Path), 2)), slices.Compare(a.Path, b.Path))
	})
	return out
}

// A layerEntry is an Entry with the origin of its value.
type layerEntry struct {
	Entry
	from origin
}

// defaultEntry returns the entry of the default cluster. The only cluster of config.toml hides a default
// of the site-wide file. See Default.
func (c *Config) defaultEntry(name string, set Entry) Entry {
	if set.Value == name {
		return set
	}
	return Entry{Path: []string{"default_cluster"}, Value: name, Pos: Position{File: c.Path}}
}

// collectEntries adds the entries of a table, without values that count as not set.
func collectEntries(out *[]Entry, table map[string]any, path []string, at func(path []string) Position) {
	for key, v := range table {
		path := append(slices.Clone(path), key)
		sub, isTable := v.(map[string]any)
		if !isTable {
			if !isUnset(path, v) {
				*out = append(*out, Entry{Path: path, Value: v, Pos: at(path)})
			}
			continue
		}
		before := len(*out)
		collectEntries(out, sub, path, at)
		if len(*out) == before && len(path) == 2 { // [clusters.x] defines a cluster; an empty env defines nothing
			*out = append(*out, Entry{Path: path, Pos: at(path)})
		}
	}
}

// isUnset reports whether a value counts as if its key were missing: see listSettings, overlayHost and mergeSigning.
func isUnset(path []string, v any) bool {
	key := path[len(path)-1]
	switch {
	case len(path) > 3: // a variable of env may be empty
		return false
	case v == "":
		return key != "signing" && key != "setup"
	case v == int64(0):
		return key == "per_day"
	}
	return false
}

// hideEntries removes what e of a later file hides beside its own key. What is built in counts again where the user's
// file hides the site-wide one. See mergeRecipe, mergeCluster, mergeHost,
// mergeSigning and overlaySettings.
func hideEntries(merged, builtIn map[string]layerEntry, e Entry, from origin) {
	hide := func(isHidden func(layerEntry) bool, path ...string) {
		key := strings.Join(path, keySep)
		for k, have := range merged {
			if (k == key || strings.HasPrefix(k, key+keySep)) && isHidden(have) {
				if b, ok := builtIn[k]; ok && have.from == originSite {
					merged[k] = b
				} else {
					delete(merged, k)
				}
			}
		}
	}
	every := func(layerEntry) bool { return true }
	if len(e.Path) < 3 {
		return
	}
	switch section, key := e.Path[0], e.Path[2]; {
	case section == "recipes" && key == "command":
		hide(every, e.Path[:2]...)
	case from == originUser && (section == "clusters" || section == "hosts") && key == "host", from == originUser && section == "signing" && key == "endpoint":
		hide(func(have layerEntry) bool { return have.from == originSite }, e.Path[:2]...)
	case key == "keep" || key == "lease":
		hide(every, section, e.Path[1], "keep")
		hide(every, section, e.Path[1], "lease")
	}
}

// A Checked is what Check has found.
type Checked struct {
	Site, User string         // the paths of the site-wide file, or "", and of the other file
	Problems   []*ConfigError // sorted, see SortProblems
}

// Check reads the site-wide file and the user's config.toml, or path in place of the latter if it is not
// empty, and returns what is wrong with them. If path is the site-wide file, it is checked as that. Check asks ssh
// whether ~/.ssh/config defines a cluster, and contacts no host. A made cluster is not made. judge judges the presets of
// both files; it may be nil.
func Check(ctx context.Context, path string, judge Judge, made ...Made) (Checked, error) {
	wide := findSiteFile()
	named := path != "" && !wide.isAt(path)
	if !named {
		own, err := ConfigPath()
		if err != nil {
			return Checked{}, err
		}
		if path != "" { // the site-wide file, even if CSCS_CONFIG names it too
			path = own
		} else {
			path, wide = own, wide.unlessIs(own)
		}
	}
	c := newConfig(path, wide, made)
	out := Checked{Site: wide.path, User: path}
	out.Problems = c.mergeSiteFile(wide, judge)
	judged := len(c.settings)
	var hidden *ConfigError
	if errors.As(c.Hidden, &hidden) {
		out.Problems = append(out.Problems, hidden)
	}
	out.Problems = append(out.Problems, c.mergeUserFile(named || isConfigNamed())...)
	out.Problems = append(out.Problems, judgeSettings(c.settings[judged:], judge)...)
	c.ssh = newAsker(c.sshConfig)
	for _, r := range c.names {
		out.Problems = append(out.Problems, c.checkReference(ctx, r)...)
	}
	SortProblems(out.Problems)
	return out, nil
}

// checkReference returns what is wrong with a name. An error of ssh is no mistake in these files.
func (c *Config) checkReference(ctx context.Context, r reference) []*ConfigError {
	var err error
	if r.kind != "cluster" {
		_, err = c.Signing(r.name)
	} else if !c.Makes(r.name) {
		_, err = c.findCluster(ctx, r.name)
	}
	if !errors.As(err, new(*UnknownClusterError)) && !errors.As(err, new(*UnknownSigningError)) {
		return nil
	}
	return []*ConfigError{{File: r.pos.File, Line: r.pos.Line, Column: r.pos.Column, Message: err.Error()}}
}
