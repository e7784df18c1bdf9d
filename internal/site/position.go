package site

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A Position is a place in a configuration file.
type Position struct {
	File         string
	Line, Column int
}

// String returns file:line:column, which editors and terminals can follow.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// positions maps the path of a key, joined by keySep, to its place. The decoder gives positions only
// for errors that it finds itself.
type positions map[string]Position

const keySep = "\x00" // cannot be part of a TOML key that was read from a file

// findPositions returns the places of all keys in data.
func findPositions(name string, data []byte) positions {
	out := positions{}
	var p unstable.Parser
	p.Reset(data)
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		var key []string
		var first *unstable.Node
		for it := e.Key(); it.Next(); {
			if n := it.Node(); first == nil {
				first = n
			}
			key = append(key, string(it.Node().Data))
		}
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = key
		case unstable.KeyValue:
			key = append(append([]string{}, table...), key...)
		default:
			continue
		}
		at := p.Shape(first.Raw).Start
		here := Position{File: name, Line: at.Line, Column: at.Column}
		out[strings.Join(key, keySep)] = here
		for n := 1; n <= len(key); n++ { // [a.b] is also the place of a, if nothing else is; and [A.b], which is decoded as a
			around := strings.Join(key[:n], keySep)
			for _, path := range []string{around, strings.ToLower(around)} {
				if out[path].Line == 0 {
					out[path] = here
				}
			}
		}
	}
	return out
}

// keyPosition returns the place of the key, or of the nearest table around it.
func (ps positions) keyPosition(file string, path ...string) Position {
	for n := len(path); n > 0; n-- {
		key := strings.Join(path[:n], keySep)
		for _, k := range []string{key, strings.ToLower(key)} {
			if p, ok := ps[k]; ok {
				return p
			}
		}
	}
	return Position{File: file}
}
