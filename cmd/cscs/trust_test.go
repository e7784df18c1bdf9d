package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/alps-tunnel/cscs/internal/hostiletest"
	"github.com/alps-tunnel/cscs/internal/problem"
)

// TestIDArguments: each command of a session refuses an argument that is no ID, nor the beginning
// of one, before anything is read or asked.
func TestIDArguments(t *testing.T) {
	root := newRootCommand(&deps{})
	for _, name := range []string{"attach", "detach", "stop", "logs", "open", "proxy"} {
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		bad := append([]string{"cscs-../x", "cscs-$(x)", "cscs--x", "cscs-a\nb", "cscs-cscs-k7"}, hostiletest.IDs...)
		for _, id := range bad {
			if lower := strings.ToLower(id); lower == "abcdefgh" || lower == "abcdefg" || lower == "abc" {
				continue // as good, or the beginning of one
			}
			var usage *problem.UsageError
			err := cmd.Args(cmd, []string{id})
			if !errors.As(err, &usage) || problem.Of(err).Code != problem.Usage {
				t.Errorf("%s %q: %v", name, id, err)
				continue
			}
			if strings.ContainsAny(usage.Message, "\n\t\x00\x1b") || len(usage.Message) > 400 || usage.Hint == "" {
				t.Errorf("%s %q: the message is %q, the hint %q", name, id, usage.Message, usage.Hint)
			}
		}
		for _, id := range []string{"k", "k7", "K7", "abcdefgh"} {
			if err := cmd.Args(cmd, []string{id}); err != nil {
				t.Errorf("%s %q: %v", name, id, err)
			}
		}
	}
	proxy, _, _ := root.Find([]string{"proxy"})
	for _, id := range []string{"cscs-k7", "CSCS-K7", "cscs-abcdefgh"} {
		if err := proxy.Args(proxy, []string{id}); err != nil {
			t.Errorf("proxy %q: %v", id, err)
		}
	}
}

// TestKeptLog: the log of a session is looked for by an ID only.
func TestKeptLog(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	for _, id := range hostiletest.IDs {
		if path, ok := keptLog(id); ok {
			t.Errorf("%q: %s", id, path)
		}
	}
}

// TestWordsOfRecords: what a record says of the user and the key becomes arguments of ssh, and is
// checked as the flags are.
func TestWordsOfRecords(t *testing.T) {
	for _, word := range append(hostiletest.Words, "a@b", "a:b") {
		control := strings.ContainsAny(word, "\n\t\x00\x1b")
		for _, c := range []struct {
			flag  string
			check func(string) error
			bad   bool
		}{
			{"user", checkUser, control || strings.ContainsAny(word, ` @:/\`) || word[0] == '-'},
			{"identity", checkWord, control || word[0] == '-'},
		} {
			to := ""
			err := takeOver("abcdefgh", c.flag, word, &to, c.check)
			var usage *problem.UsageError
			if errors.As(err, &usage) != c.bad || (to == "") != c.bad {
				t.Errorf("%s %q: %q, %v", c.flag, word, to, err)
			}
			if err != nil && (strings.ContainsAny(err.Error(), "\n\t\x00\x1b") || len(err.Error()) > 400) {
				t.Errorf("%s %q: %q", c.flag, word, err)
			}
		}
	}
	to := "given"
	if err := takeOver("abcdefgh", "user", "-x", &to, checkUser); err != nil || to != "given" {
		t.Errorf("a flag that is given: %q, %v", to, err)
	}
}
