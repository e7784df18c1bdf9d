package site

import (
	"context"
	"errors"
	"slices"
)

// An Alias is a short name of a built-in host, as ssh is to know it: a jump host or the
// login node of a cluster.
type Alias struct {
	Host        // where it leads; its User may be empty
	Jump string // as ssh_config's ProxyJump has it; may be empty
	Own  bool   // the user's own configuration means something by that name

	// Sets are the keywords of ssh_config that the user's own configuration sets for that very
	// name without saying where it leads, of those that a [Host] has: User, Port, IdentityFile,
	// CertificateFile.
	Sets []string
}

// Aliases are the short names of all built-in hosts: first the jump hosts, then the
// clusters, each in the order of their names. Config.toml and the flags count as they do for Route. What ssh's configuration says
// is asked of file (ssh -F), "none" for none: the user's own without what we would write.
func (c *Config) Aliases(ctx context.Context, file string, ov Overrides) ([]Alias, error) {
	own := *c
	own.ssh = newAsker(file)
	var jumps, logins []spec
	qs := []question{{name: anyHostName}}
	for _, n := range c.builtin {
		s := c.clusters[n].spec
		logins = append(logins, s)
		qs = append(qs, s.sshQuestions()...)
		for _, j := range s.jump {
			h, ok := c.hosts[j]
			if ok && !slices.ContainsFunc(jumps, func(have spec) bool { return have.name == h.name }) {
				jumps = append(jumps, h)
				qs = append(qs, h.sshQuestions()...)
			}
		}
	}
	own.ssh.prefetchAnswers(ctx, qs...)

	var all []Alias
	for _, s := range slices.Concat(jumps, logins) {
		cl, is := c.clusters[s.name]
		a, err := own.resolveAlias(ctx, s, ov, !is || cl.Signing != "") // jump hosts take the keys of the clusters behind them
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// SetFor are the keywords that ssh's configuration, asked of file as by Aliases, sets for that
// very name, of those that an Alias tells.
func (c *Config) SetFor(ctx context.Context, file, name string) ([]string, error) {
	ssh := newAsker(file)
	ssh.prefetchAnswers(ctx, question{name: name}, question{name: anyHostName})
	keywords, _, err := ssh.findHostKeywords(ctx, name)
	return keywords, err
}

func (c *Config) resolveAlias(ctx context.Context, s spec, ov Overrides, signed bool) (Alias, error) {
	meant, byJump, err := c.ssh.isHostDefined(ctx, s.name)
	if err != nil {
		return Alias{}, err
	}
	w := routeResolver{config: c, ov: ov, cluster: s, signed: signed}
	h, set, err := w.resolveHost(ctx, s)
	if err != nil {
		return Alias{}, err
	}
	a := Alias{Host: h, Own: meant || byJump}
	if !a.Own && !s.complete {
		if a.Sets, _, err = c.ssh.findHostKeywords(ctx, s.name); err != nil {
			return Alias{}, err
		}
	}
	jumps, err := w.chooseJumpHosts(s, set, &h)
	var command *ProxyCommandError
	switch {
	case errors.As(err, &command): // ssh can go that way, though we cannot
		return a, nil
	case err != nil:
		return a, err
	}
	for _, j := range jumps {
		if a.Jump != "" {
			a.Jump += ","
		}
		a.Jump += j
	}
	return a, nil
}
