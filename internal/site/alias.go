package site

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// An Alias is a short name for ssh of a built-in or site-wide host: a jump host or the login node of a cluster.
type Alias struct {
	Host        // its destination; User may be empty
	Jump string // for ssh_config's ProxyJump; may be empty
	Own  bool   // the user's own configuration defines the destination of the name

	// Sets are the keywords that the user's own configuration sets for the name without a destination,
	// of those in a [Host]: User, Port, IdentityFile, CertificateFile.
	Sets []string
}

// Aliases returns the short names of all built-in and site-wide hosts: first the jump hosts, then the clusters, each
// sorted by name. Config.toml and ov count as for Route. It asks ssh about the configuration in file (ssh -F), which is the user's own without our part, or "none".
func (c *Config) Aliases(ctx context.Context, file string, ov Overrides) ([]Alias, error) {
	own := *c
	own.ssh = newAsker(file)
	var jumps, logins []spec
	qs := []question{{name: anyHostName}}
	for _, n := range slices.Sorted(slices.Values(c.shipped)) {
		s := c.clusters[n].spec
		logins = append(logins, s)
		qs = append(qs, s.sshQuestions()...)
		for _, j := range s.jump {
			hosts := c.hosts
			if s.jumpSet {
				hosts = c.ownHosts
			}
			h, ok := hosts[j]
			if ok && !slices.ContainsFunc(jumps, func(have spec) bool { return have.name == h.name }) {
				jumps = append(jumps, h)
				qs = append(qs, h.sshQuestions()...)
			}
		}
	}
	slices.SortFunc(jumps, func(a, b spec) int { return strings.Compare(a.name, b.name) })
	own.ssh.prefetchAnswers(ctx, qs...)

	var all []Alias
	for _, s := range slices.Concat(jumps, logins) {
		cl, is := c.clusters[s.name]
		a, err := own.resolveAlias(ctx, s, ov, !is || cl.Signing != "") // jump hosts take the keys of their clusters
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// SetFor returns the keywords that an Alias lists in Sets, as file (see Aliases) sets them for name.
func (c *Config) SetFor(ctx context.Context, file, name string) ([]string, error) {
	ssh := newAsker(file)
	ssh.prefetchAnswers(ctx, question{name: name}, question{name: anyHostName})
	keywords, _, err := ssh.findHostKeywords(ctx, name)
	return keywords, err
}

// FindStaleAliases returns the names of the Aliases that our part of ~/.ssh/config leads elsewhere than file (see
// Aliases) and the site-wide file do now.
func (c *Config) FindStaleAliases(ctx context.Context, file string) (names []string, err error) {
	all, err := c.Aliases(ctx, file, Overrides{})
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		byHostName, byJump, err := c.ssh.isHostDefined(ctx, a.Name)
		if err != nil {
			return nil, err
		}
		now, err := c.ssh.ask(ctx, question{name: a.Name})
		if err != nil {
			return nil, err
		}
		isSame := strings.EqualFold(now.hostName, a.HostName) && now.port == a.Port && isSameRoute(now.proxyJump, a.Jump)
		if !a.Own && (byHostName || byJump) && !isSame {
			names = append(names, a.Name)
		}
	}
	return names, nil
}

// isSameRoute compares two lists of jump hosts. ssh prints an address in brackets, and no "ssh://".
func isSameRoute(a, b string) bool {
	clean := strings.NewReplacer("[", "", "]", "", "ssh://", "")
	return strings.EqualFold(clean.Replace(a), clean.Replace(b))
}

// resolveAlias returns the Alias of one host. signed reports that a service signs keys for it.
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
	jumps, _, err := w.chooseJumpHosts(s, set, &h)
	if errors.As(err, new(*ProxyCommandError)) {
		err = nil // ssh can use that route, but cscs cannot
	}
	a.Jump = strings.Join(jumps, ",")
	return a, err
}
