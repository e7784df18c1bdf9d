package site

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// sectionKinds are the tables of config.toml whose keys are names that the user has chosen, and what they name.
var sectionKinds = map[string]string{"hosts": "host", "signing": "service", "clusters": "cluster", "recipes": "recipe"}

// Shape returns the sorted paths of the keys that a config.toml sets. It has no values, and no text from the file
// except for the keys that cscs knows. label replaces a name that the user has chosen.
func Shape(data []byte, label func(kind, name string) string) ([]string, error) {
	var top map[string]any
	if err := toml.Unmarshal(data, &top); err != nil {
		return nil, err
	}
	var shape []string
	unknown := 0
	add := func(known []string, key, path string) {
		if slices.Contains(known, key) {
			shape = append(shape, path+key)
		} else {
			unknown++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(top)) {
		section, isSection := top[key].(map[string]any)
		kind := sectionKinds[key]
		if !isSection || kind == "" {
			add(keysOf(file{}), key, "")
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(section)) {
			path := key + "." + label(kind, name) + "."
			entry, _ := section[name].(map[string]any)
			for _, key := range slices.Sorted(maps.Keys(entry)) {
				add(keysOf(fileHost{}, fileSigning{}, fileCluster{}, fileRecipe{}, defaults{}), key, path)
			}
		}
	}
	if unknown > 0 {
		shape = append(shape, fmt.Sprintf("unknown keys: %d", unknown))
	}
	return shape, nil
}

// BuiltInNames returns the names and addresses in the built-in configuration, which are no secret.
func BuiltInNames() []string {
	var f file
	if err := toml.Unmarshal(builtin, &f); err != nil {
		return nil // a test ensures that this never happens
	}
	names := slices.Collect(maps.Keys(f.Signing))
	for name, h := range f.Hosts {
		names = append(names, name, h.Host)
	}
	for name, c := range f.Clusters {
		names = append(names, name, c.Host)
	}
	return names
}

// sshKeywords are the keywords of ssh_config(5) that decide how cscs reaches a host, in lower case.
var sshKeywords = []string{"host", "match", "include", "hostname", "user", "port", "proxyjump", "proxycommand", "identityfile", "identitiesonly",
	"certificatefile", "identityagent", "controlpath", "controlmaster", "controlpersist", "userknownhostsfile", "globalknownhostsfile",
	"hostkeyalias", "stricthostkeychecking", "addressfamily", "connecttimeout", "canonicalizehostname", "addkeystoagent"}

// SSHShape returns the keywords that a file of ssh_config(5) sets, and how often, in the order of their first use. It
// has no values, and counts all keywords that cscs does not use as one.
func SSHShape(data []byte) []string {
	const others = "others"
	var order []string
	count := map[string]int{}
	for line := range bytes.Lines(data) {
		words := strings.FieldsFunc(string(line), func(r rune) bool { return strings.ContainsRune(" \t\r\n=\"", r) })
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		key := strings.ToLower(words[0])
		if !slices.Contains(sshKeywords, key) {
			key = others
		}
		if count[key]++; count[key] == 1 {
			order = append(order, key)
		}
	}
	for i, key := range order {
		order[i] = fmt.Sprintf("%s %d", key, count[key])
	}
	return order
}
