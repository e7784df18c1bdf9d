package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/registry"
	"github.com/alps-tunnel/cscs/internal/sessionid"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// loadRecords returns this laptop's records, those of expired sessions too. This machine's clock may be ahead,
// and only the cluster knows (cscs ps --refresh, stop, attach).
func loadRecords() (*registry.Store, []registry.Listed, error) {
	state, err := paths.StateDir()
	if err != nil {
		return nil, nil, err
	}
	store := registry.Open(state)
	all, err := store.List()
	if err != nil {
		return nil, nil, err
	}
	return store, all, nil
}

// theSession returns the session that the argument names by its ID or a prefix, or without an argument the only
// one.
func theSession(args []string) (registry.Listed, error) {
	_, all, err := loadRecords()
	if err != nil {
		return registry.Listed{}, err
	}
	prefix := ""
	if len(args) > 0 {
		prefix = args[0]
	}
	return registry.Find(all, prefix)
}

// attendedHere is theSession for requests to the process that attends the session.
func attendedHere(args []string) (registry.Listed, error) {
	l, err := theSession(args)
	if err == nil && !l.Attended {
		err = &registry.UnattendedError{ID: l.ID}
	}
	return l, err
}

// anyIDs checks that each argument is an ID or a prefix of one. An empty argument is an error, since a script
// may pass an unset variable.
func anyIDs(cmd *cobra.Command, args []string) error {
	for _, id := range args {
		if id == "" {
			return &problem.UsageError{Message: "the ID is empty", Hint: "omit it to use the only session; see " + cmd.CommandPath() + " --help"}
		}
		if _, err := sessionid.ParsePrefix(id); err != nil {
			return &problem.UsageError{Message: err.Error(), Hint: "list them: cscs ps; the beginning of an ID is enough"}
		}
	}
	return nil
}

// atMostOneID is the check of commands for one session.
func atMostOneID(cmd *cobra.Command, args []string) error {
	if len(args) <= 1 {
		return anyIDs(cmd, args)
	}
	return &problem.UsageError{Message: "one session at a time: unexpected argument " + quoteWord(args[1]), Hint: "see " + cmd.CommandPath() + " --help"}
}

// completeIDs completes the IDs of live sessions, each with its app, cluster and state.
func completeIDs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	_, all, err := loadRecords()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	given := map[string]bool{}
	for _, a := range args {
		given[a] = true
	}
	var ids []string
	for _, l := range all {
		if !given[l.ID] {
			ids = append(ids, l.ID+"\t"+l.App+" on "+l.Cluster+", "+l.State)
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// withClusterOf calls withCluster for the cluster of session r, with the session's user and key.
func (d *deps) withClusterOf(ctx context.Context, r registry.Record, o *options, do func(*start) error) error {
	cfg, err := d.loadSites()
	if err != nil {
		return err
	}
	cl, err := cfg.Cluster(ctx, r.Cluster)
	if err != nil {
		return err
	}
	own := *o // the caller may use its options for another session
	o = &own
	if err := takeOver(r.ID, "user", r.User, &o.user, checkUser); err != nil {
		return err
	}
	if err := takeOver(r.ID, "identity", r.Identity, &o.identity, checkWord); err != nil {
		return err
	}
	for _, s := range cl.Settings { // the only settings that the existing session does not fix
		switch {
		case s.Flag == "no-sign" && s.Values[0] == "true":
			o.noSign = true
		case s.Flag == "persist" && o.persist == nil:
			if o.persist, err = parsePersist(s.Values[0]); err != nil {
				return &site.ConfigError{File: s.Pos.File, Line: s.Pos.Line, Column: s.Pos.Column, Message: badValue("persist", s.Values[0], err)}
			}
		}
	}
	return d.withCluster(ctx, o, cfg, cl, func(s *start) error {
		s.id = r.ID
		return do(s)
	})
}

// takeOver sets a flag that is not given from the record of a session. It checks the value as the flag does,
// since ssh gets it as an argument.
func takeOver(id, flag, word string, to *string, check func(string) error) error {
	if *to != "" || word == "" {
		return nil
	}
	err := checkText(word, false)
	if err == nil {
		err = check(word)
	}
	if err != nil {
		return &problem.UsageError{Message: fmt.Sprintf("the record of session %s has %.60q for --%s: %v", id, word, flag, err), Hint: "set it on the command line: --" + flag}
	}
	*to = word
	return nil
}

// clientName names this process for users who list the session: user, machine and process ID.
func clientName() string { return clientNameOf(os.Getpid()) }

func clientNameOf(pid int) string { return fmt.Sprintf("%s (pid %d)", whoWhere(), pid) }

// whoWhere returns USER@HOST, as ssh-keygen names a key.
func whoWhere() string {
	host, _ := os.Hostname() // for users only, so it may be missing
	return connect.LocalUser() + "@" + host
}

// say prints a line for the user.
func (d *deps) say(line string) { ui.Say(d.io, line) }
