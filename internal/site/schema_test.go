package site

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	"github.com/pelletier/go-toml/v2"

	"github.com/alps-tunnel/cscs/internal/schematest"
)

// notSiteWide marks keys that the site-wide file may not set.
const notSiteWide = "not in the site-wide file"

// configSchema returns the schema of config.toml, with its keys from the structs and their meaning from the comments.
func configSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	scalar := &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}}}
	r := &jsonschema.Reflector{
		Anonymous: true, ExpandedStruct: true, FieldNameTag: "toml", RequiredFromJSONSchemaTags: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[text]():
				return &jsonschema.Schema{AnyOf: scalar.AnyOf}
			case reflect.TypeFor[texts]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{scalar, {Type: "array", Items: &jsonschema.Schema{Type: "string"}}}}
			case reflect.TypeFor[map[string]string](): // env
				return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{Type: "string"}}
			}
			return nil
		},
	}
	comments := readFieldComments(t, "file.go", "signing.go")
	r.LookupComment = func(t reflect.Type, field string) string { return comments[t.Name()+"."+field] }
	s := r.Reflect(file{})
	s.Title = "config.toml of cscs, and its site-wide file"
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		if p.Value.Type == "object" { // a table of tables
			p.Value.PropertyNames = &jsonschema.Schema{Pattern: plainName.String()}
		}
	}
	for _, key := range []string{"cluster", "local_port"} { // of recipes only
		s.Definitions["fileCluster"].Properties.Delete(key)
	}
	for _, key := range []string{"ssh_config", "persist"} { // refuseTopLevel
		top, _ := s.Properties.Get(key)
		top.Comments = notSiteWide
	}
	for _, key := range keysOf(defaults{}) {
		if p, ok := s.Definitions["fileCluster"].Properties.Get(key); ok && !mayPresetForAll(strings.ReplaceAll(key, "_", "-")) {
			p.Comments = notSiteWide
		}
	}
	return s
}

// readFieldComments returns the comments behind the fields of the structs in these files, by TYPE.FIELD. The Reflector
// reads only those of exported types.
func readFieldComments(t *testing.T, files ...string) map[string]string {
	t.Helper()
	comments := map[string]string{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range s.Fields.List {
					for _, name := range field.Names {
						comments[spec.Name.Name+"."+name.Name] = strings.TrimSpace(field.Comment.Text())
					}
				}
			}
			return false
		})
	}
	return comments
}

// TestConfigSchema: the schema in the tree is that of the structs, and takes the example of the documentation
// and the built-in clusters.
func TestConfigSchema(t *testing.T) {
	schematest.CheckCurrent(t, "config.json", configSchema(t))
	docs, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(docs), -1)
	if len(examples) < 2 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, text := range []string{examples[0][1], examples[1][1], string(builtin)} {
		if taken, refused := judgeConfig(t, text); refused != nil || taken != nil {
			t.Errorf("cscs: %v, schema: %v\n%s", taken, refused, text)
		}
	}
}

// TestSchemaAgrees: the schema and cscs accept and refuse the same files.
func TestSchemaAgrees(t *testing.T) {
	every := "default_cluster='x'\nssh_config='f'\npersist='1h'\n"
	add := func(header string, forms ...any) {
		every += header + "\n"
		for _, form := range forms {
			f := reflect.TypeOf(form)
			for i := range f.NumField() {
				key := f.Field(i).Tag.Get("toml")
				if key == "" || header == "[clusters.x]" && (key == "cluster" || key == "local_port") {
					continue
				}
				every += key + " = " + exampleValue(key, f.Field(i).Type) + "\n"
			}
		}
	}
	add("[signing.s]", fileSigning{})
	add("[hosts.h]", fileHost{})
	add("[clusters.x]", fileHost{}, fileCluster{}, defaults{})
	add("[recipes.r]", fileRecipe{}, defaults{})
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{every, true},
		{"[clusters.x]\ntime = 30\nsetup = 'a'\njump = []\nsigning = ''", true},
		{"[clusters.x]\nsetup = ['a', 'b']\nmem = 1.5", true},
		{"acount = 'x'", false},
		{"[cluster.x]\nhost = 'x'", false},
		{"[clusters.x]\nacount = 'x'", false},
		{"[clusters.'a b']\nhost = 'x'", false},
		{"[clusters.x]\ncluster = 'y'", false},
		{"[clusters.x]\nlocal_port = 1", false},
		{"[clusters.x]\nport = 70000", false},
		{"[clusters.x]\nport = 0", false},
		{"[hosts.x]\nport = 0", false},
		{"[hosts.x]\nport = -1", false},
		{"[hosts.x]\nport = 1", true},
		{"[hosts.x]\nport = 65535", true},
		{"[clusters.x]\nport = '22'", false},
		{"[clusters.x]\nslurm = '--x'", false},
		{"[clusters.x]\nno_sign = 'yes'", false},
		{"[clusters.x.env]\nA = 1", false},
		{"[hosts.x]\njump = []", false},
		{"[recipes.x]\ncommand = []", false},
		{"[recipes.x]\ncommand = ['x']\nhost = 'y'", false},
		{"[signing.x]\nkind = 'y'\nendpoint = 'https://x'", false},
		{"[signing.sshservice]\nper_day = -1", false},
		{"default_cluster = 7", false},
		{"clusters = 'x'", false},
	} {
		taken, refused := judgeConfig(t, tt.text)
		if (taken == nil) != tt.ok || (refused == nil) != tt.ok {
			t.Errorf("%s\ncscs: %v, schema: %v", tt.text, taken, refused)
		}
	}
}

// exampleValue returns a value of the type as TOML.
func exampleValue(key string, t reflect.Type) string {
	switch key {
	case "kind":
		return "'cscs'"
	case "tokens":
		return "'none'"
	case "endpoint", "issuer", "account_endpoint":
		return "'https://example.org'"
	case "redirect":
		return "'http://localhost:1'"
	case "signing":
		return "'s'"
	case "via":
		return "'auto'"
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true"
	case reflect.Int:
		return "7"
	case reflect.Slice:
		return "['x']"
	case reflect.Map:
		return "{A = 'x'}"
	}
	return "'x'"
}

// judgeConfig returns what is wrong with a file, as cscs and as the schema say.
func judgeConfig(t *testing.T, text string) (config, schema error) {
	t.Helper()
	if problems := newConfig("c.toml", siteFile{}, nil).mergeText("c.toml", []byte(text), originUser); len(problems) > 0 {
		config = problems[0]
	}
	var tree map[string]any
	if err := toml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	checks, err := schematest.Load("config.json")
	if err != nil {
		t.Fatal(err)
	}
	return config, schematest.Validate(checks, data)
}
