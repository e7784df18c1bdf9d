//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuildKeepsFiles: scripts/docs build refuses a directory with files, which mkdocs would remove. A relative name is
// one of the directory that the user is in. Without Python, the virtual environment cannot be made, so nothing is
// built if the refusal is missing.
func TestBuildKeepsFiles(t *testing.T) {
	script, err := filepath.Abs("../../scripts/docs")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "mine", "file")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "python3"), []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mine", file} {
		cmd := exec.CommandContext(t.Context(), script, "build", name)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "XDG_CACHE_HOME="+dir)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), filepath.Join(dir, "mine")) {
			t.Errorf("build %s: %v\n%s; want exit code 2 and the directory", name, err, out)
		}
	}
}
