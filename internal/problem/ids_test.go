package problem

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// TestIDs: the list of IDs has those that the source of this package sets, and no others.
func TestIDs(t *testing.T) {
	want := slices.Collect(maps.Keys(checkProblems))
	for _, kind := range []chain.HostKeyKind{chain.HostKeyUnknown, chain.HostKeyDeclined, chain.HostKeyChanged, chain.HostKeyRevoked, chain.HostKeyBadCert} {
		want = append(want, "host-key-"+string(kind))
	}
	files := parsePackage(t)
	position := map[string]int{} // of the parameter id, by function
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncDecl); ok && nameIndex(fn.Type.Params, "id") >= 0 {
				position[fn.Name.Name] = nameIndex(fn.Type.Params, "id")
			}
			return true
		})
	}
	for _, f := range files {
		want = append(want, idsIn(f, position)...)
	}
	want = slices.DeleteFunc(want, func(id string) bool { return id == "" || strings.HasSuffix(id, "-") }) // the beginning of an ID
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), ids); diff != "" {
		t.Errorf("ids (+) differs from the source (-):\n%s", diff)
	}
}

func parsePackage(t *testing.T) (files []*ast.File) {
	t.Helper()
	names, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name.Name(), ".go") || strings.HasSuffix(name.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// idsIn returns the strings that become an ID: the value of a field ID or of a variable id, a parameter at that position
// or a result with the name id.
func idsIn(f *ast.File, position map[string]int) (all []string) {
	result := -1 // of the function around
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			result = nameIndex(n.Type.Results, "id")
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && key.Name == "ID" {
				all = append(all, stringsIn(n.Value)...)
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				field, isField := left.(*ast.SelectorExpr)
				name, isName := left.(*ast.Ident)
				if len(n.Rhs) == len(n.Lhs) && (isField && field.Sel.Name == "ID" || isName && name.Name == "id") {
					all = append(all, stringsIn(n.Rhs[i])...)
				}
			}
		case *ast.CallExpr:
			function := n.Fun
			if generic, ok := function.(*ast.IndexExpr); ok {
				function = generic.X
			}
			if name, ok := function.(*ast.Ident); ok {
				if i, has := position[name.Name]; has {
					all = append(all, stringsIn(n.Args[i])...)
				}
			}
		case *ast.ReturnStmt:
			if result >= 0 && len(n.Results) > result {
				all = append(all, stringsIn(n.Results[result])...)
			}
		}
		return true
	})
	return all
}

// nameIndex returns the position of a parameter or result, or -1.
func nameIndex(list *ast.FieldList, name string) int {
	i := 0
	if list != nil {
		for _, field := range list.List {
			for _, n := range field.Names {
				if n.Name == name {
					return i
				}
				i++
			}
		}
	}
	return -1
}

func stringsIn(n ast.Node) (all []string) {
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			s, _ := strconv.Unquote(lit.Value)
			all = append(all, s)
		}
		return true
	})
	return all
}

// TestIsID: known IDs and kinds of the remote part's errors count, other words do not.
func TestIsID(t *testing.T) {
	for id, want := range map[string]bool{"ok": true, "failure": true, "which-job": true, "remote-gone": true, "remote-zebra": false, "remote-": false, "zebra": false, "": false} {
		if IsID(id) != want {
			t.Errorf("IsID(%q) is %v", id, !want)
		}
	}
}
