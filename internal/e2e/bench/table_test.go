//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTableIncomplete: a table that lacks a number is an error, and no page.
func TestTableIncomplete(t *testing.T) {
	const ours = `{"release":"trixie","item":"dial","rtt_ms":20,"side":"cscs","round":0,"value":1,"unit":"s"}` + "\n"
	theirs := strings.Replace(ours, `"cscs"`, `"ssh"`, 1)
	for _, c := range []struct {
		name, results string
		ok            bool
	}{
		{"both", ours + theirs, true},
		{"no results", "", false},
		{"cscs alone", ours, false},
		{"the other alone", theirs, false},
		{"an unknown item", strings.ReplaceAll(ours+theirs, "dial", "dials"), false},
		{"an unknown release", strings.ReplaceAll(ours+theirs, "trixie", "buster"), false},
		{"half a line", ours + theirs + `{"release":`, false},
	} {
		file := filepath.Join(t.TempDir(), "results")
		if err := os.WriteFile(file, []byte(c.results), 0o600); err != nil {
			t.Fatal(err)
		}
		var page bytes.Buffer
		if err := table(&page, file); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.ok != strings.Contains(page.String(), "1.00") {
			t.Errorf("%s: the page is %q", c.name, page.String())
		}
	}
}
