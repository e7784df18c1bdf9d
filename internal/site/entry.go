package site

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// A layer is a file that was merged.
type layer struct {
	name string // "": the built-in clusters
	data []byte
}

// An Entry is a key of the merged configuration with the value that counts.
type Entry struct {
	Path  []string // clusters, daint, env, HF_HOME
	Value any      // as TOML is decoded: no table
	Pos   Position // without a file for a built-in value; without a line for the only cluster of config.toml
}

// Entries returns the merged configuration: the keys of the top level, then the tables, sorted.
func (c *Config) Entries() []Entry {
	merged := map[string]Entry{}
	for _, l := range c.layers {
		var tree map[string]any
		if toml.Unmarshal(l.data, &tree) != nil {
			continue // Load has refused the file
		}
		var entries []Entry
		collectEntries(&entries, tree, nil, func(path []string) Position {
			if l.name == "" {
				return Position{}
			}
			return findPositions(l.name, l.data).keyPosition(l.name, path...)
		})
		for _, e := range entries {
			hideEntries(merged, e)
		}
		for _, e := range entries {
			merged[strings.Join(e.Path, keySep)] = e
		}
	}
	if name := c.Default(); name != "" {
		merged["default_cluster"] = c.defaultEntry(name, merged["default_cluster"])
	}
	var out []Entry
	for _, e := range merged {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(min(len(a.Path), 2), min(len(b.Path), 2)), slices.Compare(a.Path, b.Path))
	})
	return out
}

// defaultEntry returns the entry of the default cluster. The only cluster of config.toml hides a default
// of the site-wide file. See Default.
func (c *Config) defaultEntry(name string, set Entry) Entry {
	if set.Value == name {
		return set
	}
	return Entry{Path: []string{"default_cluster"}, Value: name, Pos: Position{File: c.Path}}
}

// collectEntries adds the entries of a table.
func collectEntries(out *[]Entry, table map[string]any, path []string, at func(path []string) Position) {
	for key, v := range table {
		path := append(slices.Clone(path), key)
		if sub, ok := v.(map[string]any); ok {
			collectEntries(out, sub, path, at)
			continue
		}
		*out = append(*out, Entry{Path: path, Value: v, Pos: at(path)})
	}
}

// hideEntries removes what e of a later file hides beside its own key. See mergeRecipe and overlaySettings.
func hideEntries(merged map[string]Entry, e Entry) {
	hide := func(path ...string) {
		key := strings.Join(path, keySep)
		for k := range merged {
			if k == key || strings.HasPrefix(k, key+keySep) {
				delete(merged, k)
			}
		}
	}
	if len(e.Path) < 3 {
		return
	}
	switch {
	case e.Path[0] == "recipes" && e.Path[2] == "command":
		hide(e.Path[:2]...)
	case e.Path[2] == "keep" || e.Path[2] == "lease":
		hide(e.Path[0], e.Path[1], "keep")
		hide(e.Path[0], e.Path[1], "lease")
	}
}

// Check reads the site-wide file and the user's config.toml, or path in place of the latter if it is not
// empty. It returns what is wrong with them, and all settings that could be read.
func Check(path string) (c *Config, settings []Setting, problems []*ConfigError, err error) {
	named := path != ""
	if !named {
		if path, err = ConfigPath(); err != nil {
			return nil, nil, nil, err
		}
	}
	wide := sitePath()
	c = newConfig(path, wide, nil)
	problems = c.mergeSiteFile(wide)
	problems = append(problems, c.mergeUserFile(named || isConfigNamed())...)
	return c, c.settings, problems, nil
}
