package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/signing"
	"github.com/alps-tunnel/cscs/internal/paths"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
)

// A keyStatus is the output of cscs key status. Other programs rely on its JSON form.
type keyStatus struct {
	V           int               `json:"v"`
	Usable      bool              `json:"usable"`
	Problem     string            `json:"problem,omitempty"`
	Hint        string            `json:"hint,omitempty"`
	Key         string            `json:"key"`
	Encrypted   bool              `json:"encrypted"`
	Fingerprint string            `json:"fingerprint,omitempty"`
	Certificate string            `json:"certificate,omitempty"`
	User        string            `json:"user,omitempty"` // the certificate's key ID
	Principals  []string          `json:"principals,omitempty"`
	Serial      string            `json:"serial,omitempty"` // too large for a JavaScript number
	ValidAfter  *time.Time        `json:"valid_after,omitempty"`
	ValidBefore *time.Time        `json:"valid_before,omitempty"`
	Left        *int              `json:"left,omitempty"` // seconds
	Extensions  []string          `json:"extensions,omitempty"`
	Options     map[string]string `json:"critical_options,omitempty"`
	Agent       string            `json:"agent"`                  // holds, lacks, none, silent, unknown (no key here)
	Service     string            `json:"service,omitempty"`      // that signed the last key, or would sign the next
	Signed      int               `json:"signed"`                 // signings of today that count
	PerDay      int               `json:"per_day,omitempty"`      // the service's daily limit
	CountedWith []string          `json:"counted_with,omitempty"` // services that share the limit

	inAgent int // number of keys in an agent that was asked for none in particular
}

func newKeyStatusCommand(d *deps) *cobra.Command {
	o := &keyOptions{}
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "Show whether the key is valid, and until when",
		Long: `Show whether the key is valid, for which user and until when. cscs asks only the agent. The exit
status is 3 if the key cannot be used now.`,
		Example: `  cscs key status
  cscs key status --json | jq .left`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fillEnv(cmd.Flags()); err != nil {
				return err
			}
			return d.keyStatus(cmd.Context(), o)
		},
	}
	o.addKey(cmd)
	o.addJSON(cmd, "it to stdout as a JSON object")
	return cmd
}

// keyStatus prints the state of the key and returns its problem, if any.
func (d *deps) keyStatus(ctx context.Context, o *keyOptions) error {
	path, err := o.keyPath()
	if err != nil {
		return err
	}
	now := time.Now()
	state := d.inspectKey(ctx, o, path)
	agents := []key.Agent{key.FindAgent("")}
	if !state.Exists { // an agent that ssh's configuration names may have it
		agents = d.findAgents(ctx, o)
		if errors.As(state.Problem, new(*key.MissingError)) && o.identity == "" {
			state = heldInstead(ctx, agents, state, now)
		}
	}
	s := statusOf(ctx, agents, state, now)
	cfg, err := d.loadSites()
	if err != nil {
		return err
	}
	if dir, err := paths.StateDir(); err == nil {
		s.countSignings(cfg, signing.OpenJournal(dir), now)
	}
	if o.json {
		enc := json.NewEncoder(d.io.Out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			return err
		}
	} else {
		s.printStatus(d.io.Out)
	}
	if state.Problem == nil {
		return nil
	}
	if o.json {
		return &toldError{state.Problem}
	}
	return state.Problem
}

// heldInstead returns the key that an agent holds with a certificate, as cscs run finds it, or state if there
// is none.
func heldInstead(ctx context.Context, agents []key.Agent, state key.State, now time.Time) key.State {
	for _, a := range agents {
		if held, ok := a.Certified(ctx, now); ok {
			return held
		}
	}
	return state
}

// statusOf returns the output for the state of a key.
func statusOf(ctx context.Context, agents []key.Agent, state key.State, now time.Time) keyStatus {
	s := keyStatus{V: 1, Usable: state.Problem == nil, Key: state.Path, Encrypted: state.Encrypted, Agent: "none"}
	if state.Problem != nil {
		p := problem.Of(state.Problem)
		s.Problem, s.Hint = p.Message, p.Hint
	}
	if state.Public != nil {
		s.Fingerprint = keyFingerprint(state.Public)
	}
	s.askAgents(ctx, agents, state)
	if c := state.Cert; c != nil {
		s.Certificate, s.User, s.Principals, s.Serial = state.CertPath, c.KeyId, c.ValidPrincipals, strconv.FormatUint(c.Serial, 10)
		s.Extensions, s.Options = slices.Sorted(maps.Keys(c.Extensions)), c.CriticalOptions
		if !state.ValidAfter.IsZero() {
			after := state.ValidAfter.UTC()
			s.ValidAfter = &after
		}
		if !state.ValidBefore.IsZero() {
			before, left := state.ValidBefore.UTC(), int(max(state.ValidBefore.Sub(now), 0).Seconds())
			s.ValidBefore, s.Left = &before, &left
		}
	}
	return s
}

// askAgents asks the agents for the key, until one has it.
func (s *keyStatus) askAgents(ctx context.Context, agents []key.Agent, state key.State) {
	for _, a := range agents {
		var held bool
		var err error
		if state.Public != nil {
			held, err = a.Holds(ctx, state.Public)
		} else {
			s.inAgent, err = a.Count(ctx)
		}
		var none *key.NoAgentError
		switch {
		case held:
			s.Agent = "holds"
			return
		case err == nil && state.Public == nil:
			s.Agent = "unknown"
			return
		case err == nil:
			s.Agent = "lacks"
		case !errors.As(err, &none) && s.Agent == "none":
			s.Agent = "silent"
		}
	}
}

// countSignings sets the signings of today at the service that signed last, and at those that the site counts
// together with it.
func (s *keyStatus) countSignings(cfg *site.Config, j signing.Journal, now time.Time) {
	counts := func(name string) bool {
		by, err := cfg.Signing(name)
		return err == nil && by.PerDay > 0
	}
	by, err := cfg.Signing(cmp.Or(j.Latest(counts), site.DefaultSigning))
	if err == nil {
		s.CountedWith = cfg.CountedWith(by)
		s.Service, s.Signed, s.PerDay = by.Name, j.Used(by.Name, now, s.CountedWith...), by.PerDay
	}
}

// serviceNames names the service and those counted together with it.
func (s keyStatus) serviceNames() string {
	if len(s.CountedWith) == 0 {
		return s.Service
	}
	names := slices.Sorted(slices.Values(append(slices.Clone(s.CountedWith), s.Service)))
	return strings.Join(names, " and ") + " together"
}

// printStatus prints one line per property.
func (s keyStatus) printStatus(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintln(w, name+"\t"+ui.Clean(value))
		}
	}
	line("key", s.Key+map[bool]string{true: " (with a passphrase)"}[s.Encrypted])
	line("fingerprint", s.Fingerprint)
	if s.Certificate != "" {
		line("user", s.User)
		line("valid for", strings.Join(s.Principals, ", "))
		if s.ValidAfter != nil {
			line("from", s.ValidAfter.Local().Format("Mon 2 Jan 2006 15:04:05"))
		}
		switch {
		case s.ValidBefore == nil:
			line("until", "forever")
		case *s.Left == 0:
			line("until", s.ValidBefore.Local().Format("Mon 2 Jan 2006 15:04:05")+" (over)")
		default:
			line("until", s.ValidBefore.Local().Format("Mon 2 Jan 2006 15:04:05")+" ("+ui.Duration(time.Duration(*s.Left)*time.Second)+" left)")
		}
		line("serial", s.Serial)
		line("permits", strings.Join(s.Extensions, ", "))
		for _, name := range slices.Sorted(maps.Keys(s.Options)) {
			line("only", strings.TrimSpace(name+" "+s.Options[name]))
		}
	}
	line("agent", map[string]string{"unknown": fmt.Sprintf("has %d identities (a certificate counts as one); no file here shows which of them is this key", s.inAgent), "holds": "has it", "lacks": "does not have it (cscs key agent)", "none": "none is running", "silent": "does not answer"}[s.Agent])
	if s.PerDay > 0 {
		line("signed", fmt.Sprintf("at least %d of today's %d at %s", s.Signed, s.PerDay, s.serviceNames()))
	}
	_ = w.Flush() // errors of the user's own terminal or pipe are not reported
}
