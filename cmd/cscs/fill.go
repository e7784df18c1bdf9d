package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/slurm"
)

// envVar returns the environment variable for a flag.
func envVar(flag string) string {
	return "CSCS_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// whichCluster returns the error for a command without a cluster.
func whichCluster(cfg *site.Config) error {
	return &problem.UsageError{Message: "no cluster given",
		Hint: fmt.Sprintf("choose one with --cluster (%s), or set default_cluster in %s", strings.Join(cfg.Known(), ", "), cfg.Path)}
}

// fillEnv sets the flags that are not on the command line from the environment.
func fillEnv(flags *pflag.FlagSet) error {
	failed := settleLease(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		v := os.Getenv(envVar(f.Name))
		if f.Changed || v == "" || failed != nil || f.Name == "help" {
			return
		}
		values := []string{v}
		if _, ok := f.Value.(*value[[]string]); ok {
			values = strings.Split(strings.TrimRight(v, "\n"), "\n") // one value per line
		}
		for _, v := range values {
			if err := flags.Set(f.Name, v); err != nil {
				failed = &problem.UsageError{Message: badPreset(envVar(f.Name), f.Name, v, unwrapFlagError(err))}
				return
			}
		}
	})
	if failed == nil {
		failed = settleLease(flags)
	}
	return failed
}

// settleLease derives --keep and --lease from each other. A source that sets one has also decided the other,
// against later sources (the environment, the files).
func settleLease(flags *pflag.FlagSet) error {
	keep, lease := flags.Lookup("keep"), flags.Lookup("lease")
	if keep == nil || lease == nil {
		return nil // the command starts no job
	}
	kept := keep.Changed && keep.Value.String() == "true"
	switch {
	case kept && lease.Changed && *lease.Value.(*value[time.Duration]).to > 0:
		return &problem.UsageError{Message: "--keep and --lease " + lease.Value.String() + " exclude each other"}
	case kept && !lease.Changed:
		return flags.Set("lease", "0s")
	case lease.Changed && !keep.Changed:
		return flags.Set("keep", "false")
	}
	return nil
}

// fillConfig sets the flags that are still open from settings of one file. It fills --env name by name, so that a
// cluster's variables and those of the command line combine.
func fillConfig(flags *pflag.FlagSet, settings []site.Setting) error {
	for _, s := range settings {
		f := flags.Lookup(s.Flag)
		if f == nil {
			continue // a tunnel has no --time, for example
		}
		values := s.Values
		if s.Flag == "env" {
			values = site.MissingVariables(values, *f.Value.(*value[[]string]).to)
		} else if f.Changed {
			continue
		}
		for _, v := range values {
			if err := flags.Set(f.Name, v); err != nil {
				return &site.ConfigError{File: s.Pos.File, Line: s.Pos.Line, Column: s.Pos.Column,
					Message: badPreset(strings.ReplaceAll(s.Flag, "-", "_"), s.Flag, v, unwrapFlagError(err))}
			}
		}
	}
	return settleLease(flags)
}

// plainWord matches the name of an option or of a variable, and not what only stands in the place of one.
var plainWord = regexp.MustCompile(`^(--)?[A-Za-z_][A-Za-z0-9_-]{0,40}$`)

// badPreset returns the message for a bad value of a flag in a file or a variable, which origin names. It has no value
// of a free text, which may be a secret: the log of a CI keeps what is printed.
func badPreset(origin, flag, value string, err error) string {
	if !isFreeText(flag) {
		return badValue(origin, value, err)
	}
	name, _, _ := strings.Cut(value, "=")
	name, _, _ = strings.Cut(name, " ")
	if !strings.HasPrefix(origin, "CSCS_") && plainWord.MatchString(name) && (strings.HasPrefix(name, "--") || flag == "env" && name != value) {
		origin += " " + name
	}
	var split *slurm.OneWordError
	if errors.As(err, &split) {
		err = &slurm.OneWordError{Option: split.Option, Value: "VALUE"}
	}
	return origin + ": " + err.Error()
}

// unwrapFlagError returns the error of the check, without pflag's wrapping.
func unwrapFlagError(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok && u.Unwrap() != nil {
		return u.Unwrap()
	}
	return err
}

// fillFlags sets the flags that are still open after fillEnv from config.toml, then from the site-wide file: in
// each first from the recipe, then from the cluster. It returns the cluster.
func (o *options) fillFlags(ctx context.Context, flags *pflag.FlagSet, load func() (*site.Config, error), recipe func(*site.Config) ([]site.Setting, error)) (*site.Config, site.Cluster, error) {
	var none site.Cluster
	if o.json && o.dryRun {
		return nil, none, problem.Usagef("--json and --dry-run exclude each other: a dry run has no events")
	}
	cfg, err := load()
	if err != nil {
		return nil, none, err
	}
	var forRecipe []site.Setting
	if recipe != nil {
		if forRecipe, err = recipe(cfg); err != nil {
			return nil, none, err
		}
	}
	own, wide := splitSettings(cfg, forRecipe)
	ofCluster := func(s site.Setting) bool { return s.Flag == "cluster" }
	if err := fillConfig(flags, own); err != nil {
		return nil, none, err
	}
	if i := slices.IndexFunc(wide, ofCluster); i >= 0 { // it names the cluster whose settings count before its own
		if err := fillConfig(flags, wide[i:i+1]); err != nil {
			return nil, none, err
		}
	}
	name := cmp.Or(o.cluster, cfg.Default())
	if name == "" {
		return nil, none, whichCluster(cfg)
	}
	cl, err := cfg.Cluster(ctx, name)
	if err != nil {
		return nil, none, err
	}
	own, wideCluster := splitSettings(cfg, cl.Settings)
	for _, settings := range [][]site.Setting{own, wide, wideCluster} {
		if err := fillConfig(flags, settings); err != nil {
			return nil, none, err
		}
	}
	return cfg, cl, nil
}

// splitSettings returns the settings of config.toml and those of the site-wide file.
func splitSettings(cfg *site.Config, settings []site.Setting) (own, wide []site.Setting) {
	for _, s := range settings {
		if cfg.IsSiteWide(s) {
			wide = append(wide, s)
		} else {
			own = append(own, s)
		}
	}
	return own, wide
}
