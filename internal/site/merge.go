package site

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// plainName limits names, since users type them in a shell and ssh gets them.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// An origin says where a file in the format of config.toml comes from.
type origin int

const (
	originBuiltIn origin = iota
	originSite           // the site-wide file
	originUser           // the user's config.toml
	originMade           // a file that Made.Make wrote, which is complete
)

// A merger merges one file into a Config and collects what is wrong with the file.
type merger struct {
	*Config
	name     string // of the file
	ps       positions
	from     origin
	problems []*ConfigError
}

// mergeFile merges f into c, key by key. Values of f win. It returns what is wrong with f. Then c is
// not usable.
func (c *Config) mergeFile(name string, f *file, ps positions, from origin) []*ConfigError {
	m := &merger{Config: c, name: name, ps: ps, from: from}
	m.addReference("cluster", f.DefaultCluster, "default_cluster")
	if from == originSite {
		c.siteDefault = f.DefaultCluster
		m.refuseTopLevel(f)
	} else {
		c.DefaultCluster = cmp.Or(f.DefaultCluster, c.DefaultCluster)
	}
	if f.Persist != "" && from == originUser {
		c.persist = []Setting{{Flag: "persist", Values: []string{string(f.Persist)}, Pos: ps.keyPosition(name, "persist")}}
		c.settings = append(c.settings, c.persist...)
	}
	m.mergeSigning(f)
	for _, n := range slices.Sorted(maps.Keys(f.Hosts)) {
		m.mergeHost(n, f.Hosts[n])
	}
	for _, n := range slices.Sorted(maps.Keys(f.Clusters)) {
		m.mergeCluster(n, f.Clusters[n])
	}
	for _, n := range slices.Sorted(maps.Keys(f.Recipes)) {
		m.mergeRecipe(n, f.Recipes[n])
	}
	return m.problems
}

// bad adds a problem with a key.
func (m *merger) bad(message string, path ...string) {
	p := m.ps.keyPosition(m.name, path...)
	m.problems = append(m.problems, &ConfigError{File: p.File, Line: p.Line, Column: p.Column, Message: message})
}

// isExcused reports whether something that the file lacks may be in the site-wide file, which is ignored.
func (m *merger) isExcused() bool { return m.from == originUser && m.Ignored != nil }

// A reference is the name of a cluster or of a signing service. No merge can judge it: a later file or ~/.ssh/config
// may define the name.
type reference struct {
	kind, name string // kind is "cluster" or "signing service"
	pos        Position
}

// addReference adds the name under a key, if it is set.
func (m *merger) addReference(kind, name string, path ...string) {
	if name != "" {
		m.names = append(m.names, reference{kind: kind, name: name, pos: m.ps.keyPosition(m.name, path...)})
	}
}

func (m *merger) mergeHost(n string, h fileHost) {
	if !plainName.MatchString(n) {
		m.bad(fmt.Sprintf("%q cannot be the name of a host", n), "hosts", n)
	}
	m.checkPort(h.Port, "hosts", n, "port")
	s := m.hosts[n]
	switch {
	case m.from == originMade:
		s = spec{complete: true}
	case m.from == originUser && h.Host != "": // see mergeCluster
		s = m.base.hosts[n]
	}
	s.name = n
	s.overlayHost(h, m.from)
	m.hosts[n] = s
	if m.from == originBuiltIn || m.from == originUser {
		own := m.ownHosts[n]
		own.name = n
		own.overlayHost(h, m.from)
		m.ownHosts[n] = own
	}
}

// mergeCluster merges a cluster. If config.toml has a host of its own for it, the cluster is the user's: nothing that
// the site-wide file says of the name counts.
func (m *merger) mergeCluster(n string, fc fileCluster) {
	if !plainName.MatchString(n) {
		m.bad(fmt.Sprintf("%q cannot be the name of a cluster", n), "clusters", n)
	}
	if m.from == originSite && slices.ContainsFunc(m.made, func(made Made) bool { return made.Name == n }) {
		m.bad(n+" is the name of a cluster inside cscs, and cannot be replaced for all users: use another name", "clusters", n)
	}
	m.checkPort(fc.Port, "clusters", n, "port")
	if fc.Cluster != "" {
		m.bad("a cluster cannot name a cluster", "clusters", n, "cluster")
	}
	if fc.LocalPort != "" {
		m.bad("local_port belongs into a recipe: two sessions cannot share one", "clusters", n, "local_port")
	}
	cl := m.clusters[n]
	switch {
	case m.from == originMade:
		cl = Cluster{spec: spec{complete: true}}
	case m.from == originUser && fc.Host != "":
		var isBuiltIn bool
		if cl, isBuiltIn = m.base.clusters[n]; !isBuiltIn {
			m.shipped = slices.DeleteFunc(m.shipped, func(s string) bool { return s == n })
		}
	}
	cl.Name, cl.spec.name = n, n
	cl.spec.overlayHost(fc.fileHost, m.from)
	if fc.Jump != nil {
		cl.spec.jump, cl.spec.jumpSet = *fc.Jump, m.from == originUser
		for _, j := range *fc.Jump {
			switch jump, err := parseJump(j); {
			case err != nil:
				m.bad(err.Error(), "clusters", n, "jump")
			case m.from == originSite:
				m.refuseJump(n, jump)
			}
		}
	}
	if fc.Signing != nil {
		cl.Signing = *fc.Signing
		if _, known := m.signing[cl.Signing]; !known && cl.Signing != "" {
			if !m.isExcused() {
				m.bad(fmt.Sprintf("there is no [signing.%s]", cl.Signing), "clusters", n, "signing")
			}
			cl.Signing = ""
		}
		if m.from == originSite {
			m.refuseService(n, *fc.Signing)
		}
	}
	settings := fc.listSettings(func(key string) Position { return m.ps.keyPosition(m.name, "clusters", n, key) })
	if m.from == originSite {
		m.refuseSettings(n, settings)
	}
	m.settings = append(m.settings, settings...)
	cl.Settings = overlaySettings(settings, cl.Settings)
	m.clusters[n] = cl
	switch {
	case m.from == originUser:
		m.own = append(m.own, n)
	case !slices.Contains(m.shipped, n):
		m.shipped = append(m.shipped, n)
	}
}

// mergeRecipe merges a recipe. One with a command of its own replaces the recipe of the site-wide file,
// so that this file cannot add a command to what the user wrote.
func (m *merger) mergeRecipe(n string, fr fileRecipe) {
	if !plainName.MatchString(n) {
		m.bad(fmt.Sprintf("%q cannot be the name of a recipe", n), "recipes", n)
	}
	r := m.recipes[n]
	if fr.Command != nil {
		r = Recipe{Command: fr.Command}
	}
	r.Name = n
	if r.Command == nil && m.isExcused() {
		return
	}
	if len(r.Command) == 0 || r.Command[0] == "" {
		m.bad(fmt.Sprintf("recipe %s has no command", n), "recipes", n, "command")
	}
	at := func(key string) Position { return m.ps.keyPosition(m.name, "recipes", n, key) }
	settings := fr.listSettings(at)
	if fr.Port != "" {
		settings = append(settings, Setting{Flag: "port", Values: []string{string(fr.Port)}, Pos: at("port")})
	}
	m.addReference("cluster", string(fr.Cluster), "recipes", n, "cluster")
	m.settings = append(m.settings, settings...)
	r.Settings = overlaySettings(settings, r.Settings)
	m.recipes[n] = r
}

// overlaySettings returns the settings of first, and those of then for other flags. Variables of env
// combine. keep and lease decide one thing, so either one hides both.
func overlaySettings(first, then []Setting) []Setting {
	out := slices.Clone(first)
	indexOf := func(flag string) int { return slices.IndexFunc(first, func(s Setting) bool { return s.Flag == flag }) }
	for _, s := range then {
		switch i := indexOf(s.Flag); {
		case s.Flag == "env" && i >= 0:
			s.Values = MissingVariables(s.Values, first[i].Values)
			if len(s.Values) > 0 {
				out = append(out, s)
			}
		case i >= 0:
		case (s.Flag == "keep" || s.Flag == "lease") && (indexOf("keep") >= 0 || indexOf("lease") >= 0):
		default:
			out = append(out, s)
		}
	}
	return out
}

// MissingVariables returns the NAME=VALUE entries whose names are not in have.
func MissingVariables(values, have []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, name+"=") })
	})
}

// overlayHost sets the given values. ssh is asked for a host name of the user's config.toml as it is. Any
// other host name yields to an alias in ~/.ssh/config, which is the user's choice.
func (s *spec) overlayHost(h fileHost, from origin) {
	switch {
	case h.Host != "":
		s.host, s.alias, s.hostSet = h.Host, "", true
		if from != originUser {
			s.alias = s.name
		}
	case s.host == "":
		s.host = s.name // a name that only ~/.ssh/config or DNS knows
	}
	l := &s.login
	if from == originSite {
		l = &s.site
	}
	l.user = cmp.Or(h.User, l.user)
	l.identity = cmp.Or(expandHome(h.Identity), l.identity)
	if h.Port != nil {
		l.port = *h.Port
	}
	l.knownHosts = cmp.Or(expandHome(h.KnownHosts), l.knownHosts)
}

// checkPort refuses a port that no server can have. nil is not set.
func (m *merger) checkPort(port *int, path ...string) {
	if port != nil && (*port < 1 || *port > 65535) {
		m.bad(fmt.Sprintf("port %d is not between 1 and 65535", *port), path...)
	}
}
