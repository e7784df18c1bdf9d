package problem

import (
	"os/exec"
	"strings"
	"testing"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/doctor"
	"github.com/alps-tunnel/cscs/internal/hostiletest"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/session"
	"github.com/alps-tunnel/cscs/slurm"
)

// TestPasted: what the cluster or the user has named stands in a command to paste as one word.
func TestPasted(t *testing.T) {
	for _, word := range hostiletest.Words {
		q := shellescape.Quote(word)
		if got := wordsOf(t, askSSH(word)); !strings.HasSuffix(got, "|"+word+"|") && !strings.Contains(word, "\x00") {
			t.Errorf("%q: the shell reads %q", word, got)
		}
		for what, c := range map[string]struct {
			err   error
			fix   string
			after string // in the hint
		}{
			"account, refused": {&slurm.RefusedError{Message: "Invalid account", Accounts: []string{word}}, "--account " + q, ""},
			"account, never":   {&slurm.NeverStartsError{Reason: "InvalidAccount", Accounts: []string{word}}, "--account " + q, ""},
			"account, doctor":  {&doctor.AccountError{Known: []string{word, "x"}}, "--account " + q, ""},
			"start-up file":    {&slurm.LoginShellError{Line: &slurm.StartupLine{File: "~/.bash_profile", Line: "3", Text: word}}, quietShell, ": " + quietShell},
			"cluster":          {&session.EndedError{ID: "abcdefgh", Cluster: word}, "", "cscs logs abcdefgh --cluster " + q},
			"host":             {&site.SSHConfigError{Host: word, Message: "no"}, askSSH(word), ": " + askSSH(word)},
		} {
			p := Of(c.err)
			if p.Fix != c.fix || !strings.Contains(p.Hint, c.after) {
				t.Errorf("%s %q: fix %q, hint %q", what, word, p.Fix, p.Hint)
			}
		}
	}
}

// wordsOf are the arguments that a shell hands to the ssh of a command, each with "|" behind it.
func wordsOf(t *testing.T, command string) string {
	t.Helper()
	if strings.Contains(command, "\x00") {
		return ""
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `ssh() { printf '%s|' "$@"; }; `+command).Output()
	if err != nil {
		t.Errorf("%q: %v", command, err)
	}
	return string(out)
}
