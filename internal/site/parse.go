package site

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxTypeErrors limits how many values of a wrong type are reported, since each needs another pass over the file.
const maxTypeErrors = 100

// parseConfig decodes data strictly. An unknown key is most often misspelt. A misspelt account that is
// ignored would cost the user a day. With problems, the file is what else data says, or nil.
func parseConfig(name string, data []byte) (*file, positions, []*ConfigError) {
	ps := findPositions(name, data)
	var problems []*ConfigError
	for rest := data; ; {
		var f file
		err := toml.NewDecoder(bytes.NewReader(rest)).DisallowUnknownFields().Decode(&f)
		var strict *toml.StrictMissingError
		var dec *toml.DecodeError
		switch {
		case err == nil:
			return &f, ps, problems
		case errors.As(err, &strict):
			for i := range strict.Errors {
				problems = append(problems, newKeyError(name, &strict.Errors[i]))
			}
			return &f, ps, problems
		case !errors.As(err, &dec):
			return nil, ps, append(problems, &ConfigError{File: name, Message: strings.TrimPrefix(err.Error(), "toml: "), isText: true})
		}
		line, column := dec.Position()
		message := explainTypeError(strings.TrimPrefix(err.Error(), "toml: "), dec.Key())
		problems = append(problems, &ConfigError{File: name, Line: line, Column: column, Message: message, isText: true})
		// The decoder stops at a value of a wrong type. Leave it out to find the next one.
		if rest = withoutValue(rest, line); rest == nil || len(problems) == maxTypeErrors {
			return nil, ps, problems
		}
	}
}

// withoutValue returns data with empty lines for the key and value at a line. It returns nil if there
// is none, or if data is not TOML.
func withoutValue(data []byte, line int) []byte {
	var p unstable.Parser
	p.Reset(data)
	from, to := 0, 0 // to: the line of the expression behind it
	for p.NextExpression() {
		e := p.Expression()
		it := e.Key()
		if !it.Next() {
			continue // a comment
		}
		switch at := p.Shape(it.Node().Raw).Start.Line; {
		case at > line && to == 0:
			to = at
		case at <= line:
			from = 0
			if e.Kind == unstable.KeyValue {
				from = at
			}
		}
	}
	if p.Error() != nil || from == 0 {
		return nil
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	if to == 0 {
		to = len(lines) + 1
	}
	for i := from; i < to && i <= len(lines); i++ {
		lines[i-1] = []byte("\n")
	}
	return bytes.Join(lines, nil)
}

// newKeyError returns the error for a key that the format does not have.
func newKeyError(name string, e *toml.DecodeError) *ConfigError {
	cerr := &ConfigError{File: name, isText: true}
	cerr.Line, cerr.Column = e.Position()
	key := e.Key()
	cerr.Message = "unknown key " + strings.Join(key, ".")
	wrong, known := key[0], keysOf(file{}) // a table that does not exist, or a key in one that does
	if slices.Contains(known, wrong) {
		wrong, known = key[len(key)-1], keysOf(fileHost{}, fileSigning{}, fileCluster{}, fileRecipe{}, defaults{})
	}
	if near := Nearest(wrong, known); near != "" {
		cerr.Message += ", did you mean " + near + "?"
	}
	return cerr
}

// SortProblems sorts problems file by file: first what is wrong with the text of a file, because the rest may follow
// from that, then by their place.
func SortProblems(problems []*ConfigError) []*ConfigError {
	rank := func(p *ConfigError) int {
		if p.isText {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(problems, func(a, b *ConfigError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return problems
}

// keysOf returns the TOML keys of these types.
func keysOf(forms ...any) []string {
	var keys []string
	for _, form := range forms {
		t := reflect.TypeOf(form)
		for i := range t.NumField() {
			if key := t.Field(i).Tag.Get("toml"); key != "" {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// explainTypeError says which type a value should have. The decoder reports that only as text, with
// Go's names of types.
func explainTypeError(message string, key toml.Key) string {
	is, field, ok := strings.Cut(strings.TrimPrefix(message, "cannot decode TOML "), " into struct field ")
	if !ok {
		return message
	}
	should := field[strings.LastIndex(field, " of type ")+len(" of type "):]
	switch {
	case strings.HasPrefix(should, "[]"), strings.HasPrefix(should, "*[]"):
		should = "a list"
	case strings.HasPrefix(should, "map["), strings.Contains(should, ".file"):
		should = "a table"
	case strings.HasSuffix(should, "bool"):
		should = "true or false"
	case strings.HasSuffix(should, "int"):
		should = "a number"
	default:
		should = "a string"
	}
	return fmt.Sprintf("%s must be %s, not %s", strings.Join(key, "."), should, is)
}
