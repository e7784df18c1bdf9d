package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/configuration-reference.md anew")

const referenceHead = `# Reference of config.toml

This page lists every key of config.toml and of the site-wide file. [Configuration](configuration.md)
explains them, with examples. ` + "`cscs config check`" + ` checks a file.

The column *Files* says who may set a key: *user* is config.toml, and *site* is
[the site-wide file](configuration.md#the-site-wide-file). An empty default means that nothing is set.

<!-- Written by: go test ./cmd/cscs -run TestReference -update -->
`

// A keySchema is a key in docs/schema/config.json.
type keySchema struct {
	Type        string      `json:"type"`
	AnyOf       []keySchema `json:"anyOf"`
	Enum        []string    `json:"enum"`
	Default     string      `json:"default"`
	Description string      `json:"description"`
	Comment     string      `json:"$comment"`

	Properties map[string]keySchema `json:"properties"`
}

// TestReference: docs/configuration-reference.md has every key of the schema, with the meaning and default of its flag
// or, without a flag, those of the schema.
func TestReference(t *testing.T) {
	const file = "../../docs/configuration-reference.md"
	text, err := os.ReadFile("../../docs/schema/config.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		keySchema
		Defs map[string]keySchema `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	presets, cluster, recipe := map[string]keySchema{}, map[string]keySchema{}, map[string]keySchema{}
	for key, s := range schema.Defs["fileRecipe"].Properties {
		if ofCluster, ok := schema.Defs["fileCluster"].Properties[key]; ok && key != "port" {
			presets[key] = ofCluster
		} else {
			recipe[key] = s
		}
	}
	for key, s := range schema.Defs["fileCluster"].Properties {
		if _, isPreset := presets[key]; !isPreset {
			cluster[key] = s
		}
	}
	want := referenceHead
	for _, section := range []struct {
		title, text string
		keys        map[string]keySchema
		flags       bool // the keys are presets for flags
	}{
		{"Top level", "These keys come before the first table.", schema.Properties, false},
		{"[clusters.NAME]", "A Slurm site, for `--cluster NAME`.", cluster, false},
		{"[recipes.NAME]", "A command, for `cscs run NAME`.", recipe, false},
		{"Presets in [clusters.NAME] and [recipes.NAME]", "Each is the value of a flag: the key is the flag's name with `_` for `-`. In a recipe, the site-wide file may set each of them.", presets, true},
		{"[hosts.NAME]", "A jump host that `jump` can name.", schema.Defs["fileHost"].Properties, false},
		{"[signing.NAME]", "A service that signs keys. The site-wide file may define new ones, but change no built-in one: [keys](keys.md#configtoml).", schema.Defs["fileSigning"].Properties, false},
	} {
		want += fmt.Sprintf("\n## %s\n\n%s\n\n| Key | Type | Default | Meaning | Files |\n|---|---|---|---|---|\n", section.title, section.text)
		for _, key := range sortUnique(keysOfMap(section.keys)) {
			want += formatKeyRow(t, key, section.keys[key], section.flags)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(have)); diff != "" {
		t.Errorf("docs/configuration-reference.md is stale: go test ./cmd/cscs -run TestReference -update\n%s", diff)
	}
}

func keysOfMap(m map[string]keySchema) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

// formatKeyRow returns the row of a key.
func formatKeyRow(t *testing.T, key string, s keySchema, isPreset bool) string {
	t.Helper()
	meaning, byDefault := s.Description, s.Default
	if f := jobFlags().Lookup(strings.ReplaceAll(key, "_", "-")); f != nil && meaning == "" {
		meaning, byDefault = splitDefault(f.Usage)
		if f.Value.Type() == "bool" && byDefault == "" {
			byDefault = "false"
		}
	} else if isPreset {
		t.Errorf("%s is no flag", key)
	}
	if meaning == "" {
		t.Errorf("%s has no meaning: a comment behind its field in internal/site", key)
	}
	files := "user, site"
	if s.Comment != "" {
		files = "user"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", key, describeType(s), byDefault, strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(meaning), files)
}

// splitDefault takes the default out of the help of a flag, where it is in the brackets at the end.
func splitDefault(usage string) (meaning, byDefault string) {
	at := strings.LastIndex(usage, " (")
	if at < 0 || !strings.HasSuffix(usage, ")") {
		return usage, ""
	}
	var rest []string
	for part := range strings.SplitSeq(usage[at+2:len(usage)-1], "; ") {
		if value, ok := strings.CutPrefix(part, "default"); ok {
			byDefault = strings.TrimLeft(value, ": ")
		} else {
			rest = append(rest, part)
		}
	}
	meaning = usage[:at]
	if len(rest) > 0 {
		meaning += " (" + strings.Join(rest, "; ") + ")"
	}
	return meaning, byDefault
}

func describeType(s keySchema) string {
	if len(s.Enum) > 0 {
		return "`" + strings.Join(s.Enum, "`, `") + "`"
	}
	switch s.Type {
	case "string":
		return "text"
	case "integer", "number":
		return "number"
	case "boolean":
		return "true or false"
	case "array":
		return "list of texts"
	case "object":
		return "table"
	}
	var all []string
	for _, one := range s.AnyOf {
		all = append(all, describeType(one))
	}
	return strings.Join(all, " or ")
}
