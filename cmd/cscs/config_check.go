package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

func newConfigCheckCommand(d *deps) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check the configuration, and report its mistakes",
		Long: `Read the site-wide file and config.toml, or FILE in place of config.toml, and report what is wrong
with each key and value, with file, line and column. The exit code is 2 if something is. After a syntax
error, the rest of that file is not checked. No host is contacted: whether a host, a jump host or
an account exists is not known here.

To check a new site-wide file before it is installed, name it in CSCS_SITE_CONFIG.`,
		Example: `  cscs config check
  CSCS_SITE_CONFIG=new.toml cscs config check`,
		Args: func(cmd *cobra.Command, args []string) error { return noArgs(cmd, args[min(len(args), 1):]) },
		RunE: func(cmd *cobra.Command, args []string) error {
			path := strings.Join(args, "")
			if len(args) > 0 && path == "" {
				return &problem.UsageError{Message: "the name of the file is empty"}
			}
			return d.checkConfig(cmd.Context(), path)
		},
	}
}

// checkConfig prints what is wrong with the files, or that nothing is.
func (d *deps) checkConfig(ctx context.Context, path string) error {
	checked, err := site.Check(ctx, path, checkSetting, d.madeSites()...)
	if err != nil {
		return err
	}
	for i, p := range checked.Problems {
		hint := problem.Of(p).Hint
		if i == len(checked.Problems)-1 {
			return p
		}
		if hint == problem.Of(checked.Problems[i+1]).Hint {
			hint = "" // it follows
		}
		ui.Error(d.io, p.Error(), hint)
	}
	for _, file := range []string{checked.Site, checked.User} {
		if file == "" {
			continue
		}
		state := "no mistake found"
		if _, err := os.Stat(file); err != nil {
			state = "does not exist"
		}
		fmt.Fprintln(d.io.Out, ui.Clean(file)+": "+state)
	}
	return nil
}

// checkSetting returns what is wrong with the values of a preset, as the flag itself says.
func checkSetting(s site.Setting) *site.ConfigError {
	var bad *site.ConfigError
	if err := fillConfig(jobFlags(), []site.Setting{s}); errors.As(err, &bad) {
		return bad
	}
	return nil
}
