package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// TestTopics checks that a topic fits two screens, and that no command hides it.
func TestTopics(t *testing.T) {
	root := newRootCommand(newDeps(&ui.IO{}))
	for _, topic := range topics {
		t.Run(topic.name, func(t *testing.T) {
			lines := strings.Split(topic.text, "\n")
			if len(lines) > 2*24 {
				t.Errorf("%d lines", len(lines))
			}
			for i, line := range lines {
				if len(line) > 80 {
					t.Errorf("line %d has %d columns: %s", i+1, len(line), line)
				}
			}
			if !strings.HasSuffix(topic.text, "\n") {
				t.Error("the last line has no end")
			}
			for _, c := range root.Commands() {
				if c.Name() == topic.name {
					t.Error("there is a command with this name")
				}
			}
		})
	}
}

// TestTopicsSayWhatCounts: facts that were lost from a text once. TestSiteRoute and TestStateDir have the behaviour.
func TestTopicsSayWhatCounts(t *testing.T) {
	for fact, text := range map[string]string{
		"or, if ~/.ssh/config sets no key for it, not even in Host *, the identity of the site-wide file": keysText,
		"records and logs; $XDG_STATE_HOME changes it;":                                                   configurationText,
	} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), fact) {
			t.Errorf("no text has: %s", fact)
		}
	}
}

// TestExitCodesAreDescribed compares the exit codes of the help with those of package problem.
func TestExitCodesAreDescribed(t *testing.T) {
	want := []int{problem.OK, problem.Failure, problem.Usage, problem.Auth, problem.Allocation, problem.Server, problem.Remains, problem.Interrupted}
	var described []int
	for _, line := range regexp.MustCompile(`(?m)^  (\d+)  `).FindAllStringSubmatch(exitCodesText, -1) {
		code, err := strconv.Atoi(line[1])
		if err != nil {
			t.Fatal(err)
		}
		described = append(described, code)
	}
	if diff := cmp.Diff(want, described); diff != "" {
		t.Error(diff)
	}
}

// TestConfigurationExample loads the config.toml that the topic configuration shows.
func TestConfigurationExample(t *testing.T) {
	var example strings.Builder
	for line := range strings.Lines(configurationText) {
		if code, ok := strings.CutPrefix(line, "    "); ok && !strings.HasPrefix(code, " ") {
			example.WriteString(code)
		}
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(example.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CSCS_CONFIG", path)
	t.Setenv("CSCS_SSH_CONFIG", os.DevNull)
	cfg, err := site.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(cfg.Known(), "mylab") {
		t.Errorf("the clusters are %q", cfg.Known())
	}
	if diff := cmp.Diff([]string{"mlflow"}, cfg.Recipes()); diff != "" {
		t.Error(diff)
	}
}
