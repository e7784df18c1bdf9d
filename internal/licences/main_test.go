package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the directory of the module.
var root = filepath.Join("..", "..")

// TestLicences: each module whose code is in cscs, on a system for which cscs is built, has an allowed licence, and so
// has Go. The printed text names each of them and has the licence of each.
func TestLicences(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	modules, err := listModules(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if len(modules) < 10 {
		t.Errorf("only %d modules: %v", len(modules), modules)
	}
	var text bytes.Buffer
	if err := printLicences(t.Context(), root, &text); err != nil {
		t.Fatal(err)
	}
	goItself, err := findGo(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range append(modules, goItself) {
		documents, err := m.readDocuments()
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		for _, d := range documents {
			t.Logf("%s: %s: %s", m.name, filepath.Base(d.path), strings.Join(d.ids, ", "))
			heading := m.name + ": " + filepath.ToSlash(strings.TrimPrefix(d.path, m.dirs[0]+string(filepath.Separator)))
			if want := heading + "\n\n" + strings.TrimRight(string(d.text), "\r\n\t "); !strings.Contains(text.String(), want) {
				t.Errorf("%s: the text of %s is not printed", m.name, d.path)
			}
		}
		if !strings.Contains(text.String(), "\n  "+m.name+"\n") {
			t.Errorf("%s is not in the list", m.name)
		}
	}
}

// TestGoLicence: a Go without its licence, as Debian's is, has the copy in this repository. The copy has the text of the
// Go that runs the test.
func TestGoLicence(t *testing.T) {
	with, err := findGo(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	want, err := with.readDocuments()
	if err != nil {
		t.Fatal(err)
	}
	got, err := goSource("go1.0", t.TempDir(), root).readDocuments()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !slices.Equal(got[0].ids, []string{"BSD-3-Clause"}) || !bytes.Equal(got[0].text, want[0].text) {
		t.Errorf("not the licence of Go: %v, want %v", got, want)
	}
}

// TestCheckLicences: a module without a licence, with another licence, or with a text that is no licence is refused,
// also below its root. A notice is no licence.
func TestCheckLicences(t *testing.T) {
	own, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	const gpl = "This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by " +
		"the Free Software Foundation, either version 3 of the License, or (at your option) any later version."
	for _, tt := range []struct{ name, file, text, want string }{
		{"own", "LICENSE", string(own), ""},
		{"none", "README.md", string(own), "no licence in"},
		{"a notice", "NOTICE", "Copyright: the author.", "no licence in"},
		{"another", "COPYING", gpl, "is not allowed"},
		{"a second one", "LICENSE.txt", string(own) + "\n\n" + gpl, "is not allowed"},
		{"no known text", "LICENSE", "Ask the author.", "only 0 %"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, below := t.TempDir(), t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(below, "LICENSE"), own, 0o600); err != nil {
				t.Fatal(err)
			}
			documents, err := source{"module", []string{dir, below}}.readDocuments()
			switch {
			case tt.want == "" && (err != nil || len(documents) != 2 || !slices.Equal(documents[0].ids, []string{"BSD-3-Clause"})):
				t.Errorf("%v, %v", documents, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if tt.want == "is not allowed" {
				if _, err := (source{"module", []string{below, dir}}).readDocuments(); err == nil {
					t.Error("it is accepted below the root")
				}
			}
		})
	}
}
