package site

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Overrides are the values of flags and environment for every host of the route.
type Overrides struct {
	User     string
	Identity string
}

// A Host is one host of the route, with all that is needed to dial it. Paths are expanded. The files may not exist.
type Host struct {
	Name     string // for messages: "ela", "daint"
	Asked    string // the name that ssh was asked about
	HostName string
	Port     int
	User     string // empty if not set; the certificate may name one

	Identity         string   // the key that a flag, the environment or config.toml names
	IdentityFiles    []string // else those of ~/.ssh/config, without ssh's defaults
	IdentitiesOnly   bool
	CertificateFiles []string
	Common           []string // those of both that ~/.ssh/config sets for every host, where a service signs keys
	IdentityAgent    string   // a socket, "none", or empty for the environment's

	UserKnownHosts        []string // ssh would add a key to the first
	GlobalKnownHosts      []string
	HostKeyAlias          string // the name to look up in them, if not the host's own
	StrictHostKeyChecking string // ssh's value: ask, yes, accept-new, no, off

	// ControlPath is the control socket of an ssh that may be logged in there as ControlUser. It is
	// empty if the path is not specific to host and user.
	ControlPath, ControlUser string

	AddressFamily  string // ssh's value: any, inet, inet6
	ConnectTimeout time.Duration
	Warnings       []string
}

// Addr returns the address to dial.
func (h Host) Addr() string { return net.JoinHostPort(h.HostName, strconv.Itoa(h.Port)) }

// Cluster returns the cluster with this name: one of config.toml or the site-wide file, a built-in one,
// or one that only a Host block of ~/.ssh/config defines.
func (c *Config) Cluster(ctx context.Context, name string) (Cluster, error) {
	cl, err := c.findCluster(ctx, name)
	cl.Settings = overlaySettings(cl.Settings, c.persist) // the site-wide file cannot set persist
	return cl, err
}

// findCluster is Cluster without the top-level persist. If the site-wide file is ignored, a cluster of config.toml needs
// a host of the user: the route to it may be in that file, and another one must not be taken.
func (c *Config) findCluster(ctx context.Context, name string) (Cluster, error) {
	hasHost := func(cl Cluster) bool { return c.Ignored == nil || cl.spec.hostSet }
	cl, configured := c.clusters[name]
	if configured && hasHost(cl) {
		return cl, nil
	}
	for _, other := range c.clusters { // daint.alps.cscs.ch is daint, with its route
		if hasHost(other) && strings.EqualFold(other.spec.host, name) {
			return other, nil
		}
	}
	for _, m := range c.made {
		if m.Name == name && !configured {
			return c.makeCluster(ctx, m)
		}
	}
	if plainName.MatchString(name) {
		qs := []question{{name: name}, {name: anyHostName}}
		for _, h := range c.ownHosts { // its ProxyJump may be one of them
			qs = append(qs, h.sshQuestions()...)
		}
		c.ssh.prefetchAnswers(ctx, qs...)
		byHostName, byJump, err := c.ssh.isHostDefined(ctx, name)
		if err != nil {
			return Cluster{}, err
		}
		switch {
		case (byHostName || byJump) && configured:
			return cl, nil
		case byHostName || byJump:
			return Cluster{Name: name, spec: spec{name: name, host: name}}, nil
		}
	}
	known := slices.DeleteFunc(c.Known(), func(n string) bool { return n == name })
	e := &UnknownClusterError{Name: name, Nearest: Nearest(name, known), Known: known}
	if c.Ignored != nil {
		e.Ignored = c.SitePath
	}
	return Cluster{}, e
}

// makeCluster calls m.Make and reads the file that it wrote.
func (c *Config) makeCluster(ctx context.Context, m Made) (Cluster, error) {
	path, err := m.Make(ctx)
	if err != nil {
		return Cluster{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Cluster{}, newReadError(path, err)
	}
	if problems := c.mergeText(path, data, originMade); len(problems) > 0 {
		return Cluster{}, problems[0]
	}
	cl := c.clusters[m.Name]
	cl.Dir = filepath.Dir(path)
	return cl, nil
}

// Route returns the route to a cluster: its jump hosts in order, then its login node.
func (c *Config) Route(ctx context.Context, cl Cluster, ov Overrides) ([]Host, error) {
	// Ask all likely questions at once. Another round is needed only if ~/.ssh/config names a jump host
	// that is not ours.
	var qs []question
	if !cl.spec.complete {
		qs = append(qs, question{name: anyHostName})
	}
	for _, j := range cl.spec.jump {
		js, err := c.jumpSpec(j, cl.spec.jumpSet)
		if err != nil {
			return nil, err
		}
		qs = append(qs, js.sshQuestions()...)
	}
	c.ssh.prefetchAnswers(ctx, append(qs, cl.spec.sshQuestions()...)...)

	w := routeResolver{config: c, ov: ov, cluster: cl.spec, signed: cl.Signing != ""}
	hosts, err := w.resolveRoute(ctx, cl.spec, nil)
	if err != nil {
		return nil, err
	}
	if !cl.spec.complete {
		hosts[0].Warnings = append(slices.Clone(c.ssh.warnings), hosts[0].Warnings...)
	}
	return hosts, nil
}

// sshQuestions returns the questions whose answers resolve s.
func (s spec) sshQuestions() []question {
	if s.complete {
		return nil
	}
	qs := []question{{name: s.host, user: s.user, port: s.port}}
	if s.alias != "" {
		qs = append(qs, question{name: s.alias}, question{name: s.alias, user: s.user, port: s.port})
	}
	return slices.Compact(qs)
}

// jumpSpec returns the settings of a jump host, which is named by a [hosts] table or as in ProxyJump. own reports
// that config.toml or ~/.ssh/config names it: the site-wide file does not decide where such a name leads.
func (c *Config) jumpSpec(jump string, own bool) (spec, error) {
	hosts := c.hosts
	if own {
		hosts = c.ownHosts
	}
	if s, ok := hosts[jump]; ok {
		return s, nil
	}
	return parseJump(jump)
}

// A routeResolver resolves a route from the login node back to the first jump host.
type routeResolver struct {
	config  *Config
	ov      Overrides
	cluster spec
	signed  bool // a service signs keys for the cluster
}

// resolveRoute returns the hosts that lead to s, then s. behind are the names of the hosts behind s, to
// detect a circle.
func (w *routeResolver) resolveRoute(ctx context.Context, s spec, behind []string) ([]Host, error) {
	w.config.ssh.prefetchAnswers(ctx, s.sshQuestions()...)
	host, set, err := w.resolveHost(ctx, s)
	if err != nil {
		return nil, err
	}
	jumps, own, err := w.chooseJumpHosts(s, set, &host)
	if err != nil {
		return nil, err
	}
	var before []Host
	for i, j := range jumps {
		js, err := w.config.jumpSpec(j, own)
		if err != nil {
			return nil, &SSHConfigError{Host: host.Asked, Message: err.Error()}
		}
		if own && !s.jumpSet && slices.Contains(s.jump, j) { // as cscs ssh-config --install has written it
			js.site.knownHosts = w.config.hosts[j].site.knownHosts
		}
		if js.host == s.host || js.host == host.Asked {
			continue // a ProxyJump of "Host *", applied to the jump host itself
		}
		if slices.Contains(behind, js.host) {
			return nil, &SSHConfigError{Host: host.Asked, Message: "the jump hosts lead in a circle: " +
				strings.Join(append(slices.Clone(behind), s.host, js.host), " → ")}
		}
		if i == 0 { // as ssh: only the first of a list follows its own configuration
			more, err := w.resolveRoute(ctx, js, append(slices.Clone(behind), s.host))
			if err != nil {
				return nil, err
			}
			before = append(before, more...)
			continue
		}
		h, _, err := w.resolveHost(ctx, js)
		if err != nil {
			return nil, err
		}
		before = append(before, h)
	}
	return append(before, host), nil
}

// chooseJumpHosts returns the jump hosts of s: from config.toml, else from ~/.ssh/config (own reports one of the two),
// else from the site-wide file, else built in.
func (w *routeResolver) chooseJumpHosts(s spec, set settings, host *Host) (jumps []string, own bool, err error) {
	if s.jumpSet {
		return s.jump, true, nil
	}
	if set.proxyJump != "" {
		return strings.Split(set.proxyJump, ","), true, nil
	}
	if set.proxyCommand == "" {
		return s.jump, false, nil
	}
	if j, ok := jumpOfCommand(set.proxyCommand); ok {
		return []string{j}, true, nil
	}
	if len(s.jump) == 0 {
		return nil, false, &ProxyCommandError{Host: host.Asked, Command: set.proxyCommand}
	}
	host.Warnings = append(host.Warnings, fmt.Sprintf("ssh's ProxyCommand for %s is not used; the route goes over %s",
		host.Asked, strings.Join(s.jump, ", ")))
	return s.jump, false, nil
}

// resolveHost asks ssh about one host and applies the settings that have precedence.
func (w *routeResolver) resolveHost(ctx context.Context, s spec) (Host, settings, error) {
	if s.complete {
		return s.completeHost(), settings{}, nil
	}
	asked, lay := s.host, func(*settings) {}
	if s.alias != "" && s.alias != s.host {
		byHostName, _, err := w.config.ssh.isHostDefined(ctx, s.alias)
		switch {
		case err != nil:
		case byHostName:
			asked = s.alias
		default: // a block without a HostName sets the user and key, not the destination
			_, lay, err = w.config.ssh.findHostKeywords(ctx, s.alias)
		}
		if err != nil {
			return Host{}, settings{}, err
		}
	}
	set, err := w.config.ssh.ask(ctx, question{name: asked, user: s.user, port: s.port})
	if err != nil {
		return Host{}, settings{}, err
	}
	expanded := cmp.Or(set.user, localUser()) // the user that ControlPath was expanded with
	lay(&set)
	if set.hostName == "" || set.port == 0 {
		return Host{}, settings{}, &SSHConfigError{Host: asked, Message: "ssh -G names no host"}
	}
	if set, err = w.addSitePort(ctx, s, asked, set); err != nil {
		return Host{}, settings{}, err
	}
	h := Host{
		Name: s.name, Asked: asked, HostName: set.hostName, Port: cmp.Or(s.port, set.port),
		IdentitiesOnly: set.identitiesOnly, HostKeyAlias: set.hostKeyAlias, StrictHostKeyChecking: set.strict,
		AddressFamily: set.addressFamily, ConnectTimeout: set.connectTimeout,
	}
	h.User = cmp.Or(w.ov.User, s.user, set.user, w.cluster.user, s.site.user, w.cluster.site.user)
	if _, named := w.config.ownHosts[s.name]; !named && s.name != w.cluster.name && s.user != "" {
		h.User = s.user // a user in the jump host itself (bob@bastion) is for that host alone; --user is for all others
	}
	h.Identity = cmp.Or(expandHome(w.ov.Identity), s.identity)
	if h.Identity == "" && len(set.identityFiles) == 0 {
		h.Identity = w.cluster.identity
	}
	if site := cmp.Or(s.site.identity, w.cluster.site.identity); site != "" && h.Identity == "" && len(set.identityFiles) == 0 {
		set.identityFiles = []string{site} // as an IdentityFile, it need not exist
	}
	t := newTokens(h)
	h.IdentityFiles = t.expandFiles(set.identityFiles)
	h.CertificateFiles = t.expandFiles(set.certificateFiles)
	any, err := w.config.ssh.ask(ctx, question{name: anyHostName})
	if err != nil {
		return Host{}, settings{}, err
	}
	// A path that is equal for any host may belong to an ssh to another host. An ssh that asks would do
	// so for each command and connection of a session.
	if set.controlPath != any.controlPath && !set.controlAsks {
		h.ControlPath, h.ControlUser = set.controlPath, expanded
	}
	if w.signed {
		h.Common = t.expandFiles(slices.Concat(intersectFiles(set.identityFiles, any.identityFiles), intersectFiles(set.certificateFiles, any.certificateFiles)))
	}
	h.UserKnownHosts = t.expandFiles(set.userKnownHosts)
	h.GlobalKnownHosts = t.expandFiles(set.globalKnownHosts)
	if s.knownHosts != "" {
		h.UserKnownHosts, h.GlobalKnownHosts = []string{s.knownHosts}, nil
	} else if s.site.knownHosts != "" { // as in ssh's own file of the system
		h.GlobalKnownHosts = append(h.GlobalKnownHosts, s.site.knownHosts)
	}
	h.IdentityAgent = t.expandAgent(set.identityAgent)
	return h, set, nil
}

// addSitePort adds the port of the site-wide file to ssh's answer, unless ~/.ssh/config has another
// port or destination. It asks again, because the port may be part of a ControlPath. ssh -G does not
// tell whether port 22 was set.
func (w *routeResolver) addSitePort(ctx context.Context, s spec, asked string, set settings) (settings, error) {
	if s.site.port == 0 || s.port != 0 || set.port != 22 || !strings.EqualFold(set.hostName, s.host) {
		return set, nil
	}
	again, err := w.config.ssh.ask(ctx, question{name: asked, user: s.user, port: s.site.port})
	set.port, set.controlPath, set.controlAsks = s.site.port, again.controlPath, again.controlAsks
	return set, err
}

// intersectFiles returns the files that are in both lists.
func intersectFiles(files, others []string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(f string) bool { return !slices.Contains(others, f) })
}

// completeHost returns a Host from a spec that needs nothing from ssh.
func (s spec) completeHost() Host {
	return Host{
		Name: s.name, Asked: s.host, HostName: s.host, Port: cmp.Or(s.port, 22), User: s.user,
		Identity: s.identity, IdentitiesOnly: true, IdentityAgent: "none",
		UserKnownHosts: []string{s.knownHosts}, StrictHostKeyChecking: "yes",
	}
}
