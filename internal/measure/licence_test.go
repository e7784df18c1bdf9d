package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/licensecheck"
)

// allowedLicences are the licences (SPDX identifiers) under which a module may become part of cscs, whose own licence is
// BSD-3-Clause. All of them demand a notice at most. A further one needs a decision, in docs/dependencies.md.
var allowedLicences = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT"}

// licenceFile matches the names of files with licences; "-" and "." come before what they are for.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-.].*)?$`)

// checkLicences returns the licences of the module in dir. It returns an error if there is none, one that is not
// allowed, or a text that is not known for the most part.
func checkLicences(dir string) ([]string, error) {
	found, err := readLicences(dir)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("no licence in %s", dir)
	}
	return found, err
}

// readLicences returns the licences of the files in dir, which may have none. Its errors are those of checkLicences.
func readLicences(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		c := licensecheck.Scan(text)
		if c.Percent < 75 { // its authors' limit for a file that is a licence
			return nil, fmt.Errorf("%s: only %.0f %% of it is a known licence", e.Name(), c.Percent)
		}
		for _, m := range c.Match {
			if !slices.Contains(allowedLicences, m.ID) {
				return nil, fmt.Errorf("%s: the licence %s is not allowed", e.Name(), m.ID)
			}
			found = append(found, m.ID)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// TestLicences: each module whose code is in cscs, on a system for which cscs is built, has an allowed licence. So has
// each of its directories with such code, and each directory above that.
func TestLicences(t *testing.T) {
	modules := map[string]string{} // path and version, directory
	below := map[string]bool{}     // directories in modules
	for _, system := range []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"} {
		goos, goarch, _ := strings.Cut(system, "/")
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", "./cmd/cscs")
		cmd.Dir, cmd.Env = filepath.Join("..", ".."), append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOPROXY=off")
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("list the modules for %s: %v: %s; a module may be missing here: go mod download", system, err, said.String())
		}
		for line := range strings.Lines(string(out)) {
			f := strings.Split(strings.TrimSpace(line), "\t")
			if len(f) != 3 {
				continue
			}
			modules[f[0]] = f[1]
			for dir := f[2]; len(dir) > len(f[1]); dir = filepath.Dir(dir) {
				below[dir] = true
			}
		}
	}
	if len(modules) < 10 {
		t.Errorf("only %d modules: %v", len(modules), modules)
	}
	for name, dir := range modules {
		licences, err := checkLicences(dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %s", name, strings.Join(licences, ", "))
	}
	for dir := range below {
		licences, err := readLicences(dir)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
		}
		if len(licences) > 0 {
			t.Logf("%s: %s", dir, strings.Join(licences, ", "))
		}
	}
}

// TestCheckLicences: a module without a licence, with another licence, or with a text that is no licence is refused.
func TestCheckLicences(t *testing.T) {
	own, err := os.ReadFile(filepath.Join("..", "..", "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	const gpl = "This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as published by " +
		"the Free Software Foundation, either version 3 of the License, or (at your option) any later version."
	for _, tt := range []struct{ name, file, text, want string }{
		{"own", "LICENSE", string(own), ""},
		{"none", "README.md", string(own), "no licence in"},
		{"another", "COPYING", gpl, "is not allowed"},
		{"a second one", "LICENSE.txt", string(own) + "\n\n" + gpl, "is not allowed"},
		{"no known text", "LICENSE", "Ask the author.", "only 0 %"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			licences, err := checkLicences(dir)
			switch {
			case tt.want == "" && (err != nil || !slices.Equal(licences, []string{"BSD-3-Clause"})):
				t.Errorf("%v, %v", licences, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
