package problem

import (
	"cmp"
	"path/filepath"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/sshconfig"
)

var usageRules = []rule{
	ruleFor(func(e *UsageError) Problem {
		return Problem{ID: "usage", Code: Usage, Message: e.Message, Hint: e.Hint}
	}),
	fixedRule[*app.UsageError]("usage", Usage, "", ""),
	ruleFor(func(e *site.ConfigError) Problem {
		if e.Advice != "" {
			return Problem{ID: "config", Code: Usage, Message: e.Error(), Hint: e.Advice}
		}
		fix := cmp.Or(e.Fix, "${EDITOR:-vi} "+shellescape.Quote(e.File))
		return Problem{ID: "config", Code: Usage, Message: e.Error(), Hint: "fix it: " + fix, Fix: fix}
	}),
	ruleFor(func(e *site.SSHConfigError) Problem {
		p := Problem{ID: "ssh-config", Code: Usage, Message: e.Error(), Hint: "show how ssh reads it: " + askSSH(e.Host), Fix: askSSH(e.Host)}
		// The message of OpenSSH (readconf.c) for a file that others may write.
		if _, file, ok := strings.Cut(e.Message, "Bad owner or permissions on "); ok {
			file, _, _ = strings.Cut(file, "\n")
			p.Fix = "chmod 600 " + shellescape.Quote(strings.TrimSpace(file))
			p.Hint = "remove the write permission of other users: " + p.Fix
		}
		if len(e.Unknown) > 0 {
			p.Fix = editCommand(e.File, 1)
			p.Hint = joinHints("if the ssh of another system knows it, make this one ignore it, in the first line of the file or in the IgnoreUnknown line that is there: IgnoreUnknown "+optionNames(e.Unknown), "otherwise correct it: "+p.Fix)
		}
		return p
	}),
	ruleFor(func(e *sshconfig.RefusedError) Problem {
		p := Problem{ID: "ssh-config", Code: Usage, Message: e.Error(), Hint: "nothing was changed; show how ssh reads it: ssh -G ela"}
		if !e.Before {
			p.Code, p.Hint = Failure, "nothing was changed; this is a bug in cscs: please report it"
		}
		return p
	}),
	ruleFor(func(e *sshconfig.BlockError) Problem {
		fix, do := editCommand(e.File, e.Line), "delete these markers and what is left of the block"
		if e.Inside {
			do = "move that line out of the block"
		}
		return Problem{ID: "ssh-config", Code: Usage, Message: e.Error(), Hint: "nothing was changed; " + do + ", then repeat the command: " + fix, Fix: fix}
	}),
	ruleFor(func(e *sshconfig.WriteError) Problem {
		p := Problem{ID: "ssh-config-file", Code: Failure, Message: e.Error()}
		switch {
		case e.Line != "" && e.Out:
			p.Hint = "all else of cscs is taken away; take this out of it by hand, or where the file is made: " + e.Line
		case e.Line != "":
			p.Hint = "the file that it is to include is written; put this line at its top by hand, or where the file is made: " + e.Line
		default:
			p.Hint, p.Fix = unwritableHint(filepath.Dir(e.File), e.Err)
		}
		return p
	}),
	ruleFor(func(e *sshconfig.ReadError) Problem {
		p := Problem{ID: "ssh-config-file", Code: Failure, Message: e.Error()}
		p.Hint, p.Fix = unreadableHint(e.File, e.Err)
		return p
	}),
	ruleFor(func(e *sshconfig.ForeignError) Problem {
		q := shellescape.Quote(e.File)
		fix := "mv -i " + q + " " + shellescape.Quote(e.File+".mine")
		return Problem{ID: "ssh-config-foreign", Code: Failure, Message: e.Error() + ", and is left as it is: nothing was changed",
			Hint: "move it away and run the command again: " + fix, Fix: fix}
	}),
	fixedRule[*site.ProxyCommandError]("proxy-command", Usage, `use ProxyJump in ~/.ssh/config, or give the cluster a jump = ["HOST"] in config.toml`, ""),
	ruleFor(func(e *site.UnknownClusterError) Problem {
		add := "add any other with a Host block in ~/.ssh/config, or a [clusters.NAME] in config.toml"
		if e.Ignored != "" {
			add += " that has a host"
		}
		return Problem{ID: "unknown-cluster", Code: Usage, Message: e.Error(), Hint: joinHints("known: "+strings.Join(e.Known, ", "), add)}
	}),
	ruleFor(func(e *site.UnknownRecipeError) Problem {
		known := "there is none in " + e.File
		if len(e.Known) > 0 {
			known = "known: " + strings.Join(e.Known, ", ") + " (their files: cscs config show --origin)"
		}
		return Problem{ID: "unknown-recipe", Code: Usage, Message: e.Error(),
			Hint: joinHints(known, "put a command of your own after --: cscs run -- COMMAND")}
	}),
}

// optionNames returns a list for IgnoreUnknown. UseKeychain is spelled as in macOS's manual.
func optionNames(options []string) string {
	var names []string
	for _, o := range options {
		if o == "usekeychain" {
			o = "UseKeychain"
		}
		names = append(names, o)
	}
	return strings.Join(names, ",")
}

// askSSH returns the command that shows ssh's settings for a host, whose name may look like an
// option.
func askSSH(host string) string {
	if strings.HasPrefix(host, "-") {
		return "ssh -G -- " + shellescape.Quote(host)
	}
	return "ssh -G " + shellescape.Quote(host)
}
