package site

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// plainName limits names, since users type them in a shell and ssh gets them.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// An origin says where a file in the format of config.toml comes from.
type origin int

const (
	originBuiltIn origin = iota
	originUser           // the user's config.toml
	originMade           // a file that Made.Make wrote, which is complete
)

// mergeFile merges f into c. Values of f win.
func (c *Config) mergeFile(name string, f *file, ps positions, from origin) error {
	own := from == originUser
	bad := func(message string, path ...string) error {
		p := ps.keyPosition(name, path...)
		return &ConfigError{File: p.File, Line: p.Line, Column: p.Column, Message: message}
	}
	c.DefaultCluster = cmp.Or(f.DefaultCluster, c.DefaultCluster)
	if f.Persist != "" && own {
		c.persist = []Setting{{Flag: "persist", Values: []string{string(f.Persist)}, Pos: ps.keyPosition(name, "persist")}}
	}
	if err := c.mergeSigning(f, bad); err != nil {
		return err
	}
	for _, n := range slices.Sorted(maps.Keys(f.Hosts)) {
		h := f.Hosts[n]
		switch {
		case !plainName.MatchString(n):
			return bad(fmt.Sprintf("%q cannot be the name of a host", n), "hosts", n)
		case badPort(h.Port):
			return bad(fmt.Sprintf("port %d is not between 1 and 65535", h.Port), "hosts", n, "port")
		}
		s := c.hosts[n]
		if from == originMade {
			s = spec{complete: true}
		}
		s.name = n
		s.overlayHost(h, own)
		c.hosts[n] = s
	}
	for _, n := range slices.Sorted(maps.Keys(f.Clusters)) {
		fc := f.Clusters[n]
		switch {
		case !plainName.MatchString(n):
			return bad(fmt.Sprintf("%q cannot be the name of a cluster", n), "clusters", n)
		case badPort(fc.Port):
			return bad(fmt.Sprintf("port %d is not between 1 and 65535", fc.Port), "clusters", n, "port")
		case fc.Cluster != "":
			return bad("a cluster cannot name a cluster", "clusters", n, "cluster")
		case fc.LocalPort != "":
			return bad("local_port belongs into a recipe: two sessions cannot share one", "clusters", n, "local_port")
		}
		cl := c.clusters[n]
		if from == originMade {
			cl = Cluster{spec: spec{complete: true}}
		}
		cl.Name, cl.spec.name = n, n
		cl.spec.overlayHost(fc.fileHost, own)
		if fc.Jump != nil {
			cl.spec.jump, cl.spec.jumpSet = *fc.Jump, own
			for _, j := range *fc.Jump {
				if _, err := parseJump(j); err != nil {
					return bad(err.Error(), "clusters", n, "jump")
				}
			}
		}
		if fc.Signing != nil {
			if _, known := c.signing[*fc.Signing]; !known && *fc.Signing != "" {
				return bad(fmt.Sprintf("there is no [signing.%s]", *fc.Signing), "clusters", n, "signing")
			}
			cl.Signing = *fc.Signing
		}
		cl.Settings = fc.listSettings(func(key string) Position { return ps.keyPosition(name, "clusters", n, key) })
		c.clusters[n] = cl
		if own {
			c.own = append(c.own, n)
		} else {
			c.builtin = append(c.builtin, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(f.Recipes)) {
		fr := f.Recipes[n]
		switch {
		case !plainName.MatchString(n):
			return bad(fmt.Sprintf("%q cannot be the name of a recipe", n), "recipes", n)
		case len(fr.Command) == 0 || fr.Command[0] == "":
			return bad(fmt.Sprintf("recipe %s has no command", n), "recipes", n, "command")
		}
		at := func(key string) Position { return ps.keyPosition(name, "recipes", n, key) }
		r := Recipe{Name: n, Command: fr.Command, Settings: fr.listSettings(at)}
		if fr.Port != "" {
			r.Settings = append(r.Settings, Setting{Flag: "port", Values: []string{string(fr.Port)}, Pos: at("port")})
		}
		c.recipes[n] = r
	}
	return nil
}

// overlayHost sets the given values. ssh is asked for a host name of the user's config.toml as it is. A
// built-in host name yields to an alias in ~/.ssh/config, which is the user's choice.
func (s *spec) overlayHost(h fileHost, own bool) {
	switch {
	case h.Host != "":
		s.host, s.alias = h.Host, ""
		if !own {
			s.alias = s.name
		}
	case s.host == "":
		s.host = s.name // a name that only ~/.ssh/config or DNS knows
	}
	s.user = cmp.Or(h.User, s.user)
	s.identity = cmp.Or(expandHome(h.Identity), s.identity)
	s.port = cmp.Or(h.Port, s.port)
	s.knownHosts = cmp.Or(expandHome(h.KnownHosts), s.knownHosts)
}

func badPort(p int) bool { return p < 0 || p > 65535 }
