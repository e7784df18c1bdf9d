//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
		if err := writeTable(&page, file); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.ok != strings.Contains(page.String(), "1.00") {
			t.Errorf("%s: the page is %q", c.name, page.String())
		}
	}
}

// TestChart: a bar is as long as its time, and the text is whole XML.
func TestChart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results")
	const line = `{"release":"trixie","item":"jupyter","rtt_ms":%d,"side":%q,"round":0,"value":%v,"unit":"s"}` + "\n"
	results := fmt.Sprintf(line, 0, "cscs", 1) + fmt.Sprintf(line, 0, "by <hand>", 4) + fmt.Sprintf(line, 100, "cscs", 2) + fmt.Sprintf(line, 100, "by <hand>", 3)
	if err := os.WriteFile(file, []byte(results), 0o600); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := drawChart(&text, file); err != nil {
		t.Fatal(err)
	}
	var drawn struct {
		Bars []struct {
			Width int `xml:"width,attr"`
		} `xml:"rect"`
	}
	if err := xml.Unmarshal(text.Bytes(), &drawn); err != nil {
		t.Fatalf("%v:\n%s", err, &text)
	}
	var widths []int
	for _, b := range drawn.Bars {
		widths = append(widths, b.Width)
	}
	if !slices.Equal(widths, []int{95, 380, 190, 285}) {
		t.Errorf("bars: %v", widths)
	}
}
