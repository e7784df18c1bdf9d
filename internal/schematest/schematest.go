// Package schematest compares the JSON schemas in docs/schema with the Go types that they describe, and
// values with the schemas. It is for tests alone.
package schematest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the schemas of docs/schema anew")

// CheckCurrent fails the test if the file in docs/schema is not the schema.
func CheckCurrent(t *testing.T, name string, schema *jsonschema.Schema) {
	t.Helper()
	want, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	dir, err := findDir()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil { //nolint:gosec // a file of the tree
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("docs/schema/%s is stale: go test -run %s -update .\n%s", name, t.Name(), diff)
	}
}

// Load returns the schema in a file of docs/schema. Formats, such as date-time, count.
func Load(name string) (*validator.Schema, error) { return load(name, func(map[string]any) {}) }

// LoadEvents returns the schema of docs/schema/event.json without its tolerance: an event that it does not name, a
// field that it does not list for an event, and Go's zero time are errors. Programs must ignore the first two, but no
// test of this version may meet one.
func LoadEvents() (*validator.Schema, error) {
	return load("event.json", func(schema map[string]any) {
		var events []any
		for _, rule := range schema["allOf"].([]any) {
			r := rule.(map[string]any)
			event := r["if"].(map[string]any)["properties"].(map[string]any)["event"].(map[string]any)
			events = append(events, event["const"])
			fields := r["then"].(map[string]any)
			var names []any
			for name := range fields["properties"].(map[string]any) {
				names = append(names, name)
			}
			fields["propertyNames"] = map[string]any{"enum": names}
		}
		fields := schema["properties"].(map[string]any)
		fields["event"].(map[string]any)["enum"] = events
		fields["time"].(map[string]any)["not"] = map[string]any{"pattern": "^0001-"}
	})
}

// load returns the schema in a file of docs/schema after a change.
func load(name string, change func(map[string]any)) (*validator.Schema, error) {
	dir, err := findDir()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	schema, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	change(schema.(map[string]any))
	c := validator.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name, schema); err != nil {
		return nil, err
	}
	return c.Compile(name)
}

// Validate returns what of a JSON text is against the schema.
func Validate(schema *validator.Schema, text []byte) error {
	value, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// findDir returns docs/schema of the tree that the test is in.
func findDir() (string, error) {
	dir, err := os.Getwd()
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	return filepath.Join(dir, "docs", "schema"), err
}
