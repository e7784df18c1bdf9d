package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/connect"
	"github.com/alps-tunnel/cscs/internal/key/signing"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

func newKeyImportCommand(d *deps) *cobra.Command {
	o := &keyOptions{}
	cmd := &cobra.Command{
		Use:   "import [FILE | DIRECTORY]",
		Short: "Import a signed key that the browser has saved",
		Long: `Import a signed key that the browser has saved: cscs looks for key and certificate in
~/Downloads, or in the files that you name, checks them, and moves them to ~/.ssh/cscs-key,
readable by you alone. It replaces an existing key only by a valid one. If the certificate is for
a key that is already in ~/.ssh, such as id_ed25519, cscs moves only the certificate; it copies
one that is next to its key.`,
		Example: `  cscs key import
  cscs key import ~/Desktop/cscs-key`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &problem.UsageError{Message: "one key at a time: unexpected argument " + quoteWord(args[1]), Hint: "see cscs key import --help"}
			}
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.keyImport(cmd.Context(), o, args)
		},
	}
	o.addKey(cmd)
	return cmd
}

// keyImport moves a downloaded key and certificate to their place.
func (d *deps) keyImport(ctx context.Context, o *keyOptions, args []string) error {
	signals, stop := hearFirstInterrupt(ctx)
	defer stop()
	path, state, err := o.keyAndStateDir()
	if err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return &site.HomeError{Sought: "~/Downloads", Err: err}
	}
	from := filepath.Join(home, "Downloads")
	if len(args) > 0 {
		from = args[0]
	}
	pair, err := signing.Find(from, filepath.Dir(path))
	if err != nil {
		return err
	}
	r := signing.Request{Name: "import", Path: path, State: state, Comment: whoWhere()}
	if ask := newPrompter(signals); ask != nil {
		r.Ask = connect.Passphrases{Prompter: ask, Question: connect.NewKeyQuestion}
	}
	result, err := signing.Import(signals.ctx, r, pair)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(pair.Key); errors.Is(err, fs.ErrNotExist) { // otherwise the key was not moved
		ui.Say(d.io, "moved from "+pair.Key)
	}
	d.reportSignedKey(result)
	return nil
}
