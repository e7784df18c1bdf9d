package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/forward/share"
	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/problem"
	"github.com/alps-tunnel/cscs/internal/site"
	"github.com/alps-tunnel/cscs/internal/ui"
	"github.com/alps-tunnel/cscs/session"
)

// A way has everything that is needed to dial a cluster's login node and its compute nodes.
type way struct {
	hosts    []site.Host
	keys     []*key.Identity // one for each host
	hops     []chain.Hop
	options  chain.Options
	dir      string // directory of the shared connections' sockets; "": the default
	ring     *key.Ring
	sealed   bool     // keys are opened only for a dial
	prompter Prompter // nil: no terminal to ask on
	renew    *Renewal // nil: no service signs keys for this cluster
	warnings []string
	master   string // control socket of an ssh logged in at the login node; "": none found

	mu          sync.Mutex
	known       []*chain.KnownHosts // warnings still to be printed
	dialed      bool
	masterTried bool         // joinMaster has run
	masterHost  string       // host at which an ssh carries the first chain, until that is reported; "": none
	keyErr      error        // why there are no keys, if ssh makes them unnecessary
	last        *share.Chain // the last chain dialled for the session
	keep        *Keeping     // nil: the connection is not kept, or was dialled already
}

// findWay gets the hosts from ssh's configuration and chooses the key of each. It connects to no host, and to
// the signing service only if renew has a key signed. It reports an expired certificate before any host is
// contacted. If visits is set, a passphrase is asked for only if there is no connection to join.
func findWay(ctx context.Context, cfg *site.Config, cl site.Cluster, ov site.Overrides, prompter Prompter, renew *Renewal, visits bool) (*way, error) {
	hosts, err := cfg.Route(ctx, cl, ov)
	if err != nil {
		return nil, err
	}
	w := &way{hosts: hosts, dir: cl.Dir, ring: &key.Ring{}, prompter: prompter, renew: renew, sealed: visits}
	if renew != nil {
		renew.ring, renew.warn, renew.now = w.ring, w.addWarning, time.Now
	}
	joins, err := w.findMaster(ctx)
	if err == nil && !joins {
		err = w.findSignedKeys(ctx, w.prompter)
	}
	if err != nil {
		return w, err
	}
	var hostKeys []chain.HostKeys
	for _, h := range hosts {
		w.warnings = append(w.warnings, h.Warnings...)
		k, err := w.hostKeys(h)
		if err != nil {
			return w, err
		}
		hostKeys = append(hostKeys, k)
	}
	w.addHops(hostKeys)
	w.addOptions()
	return w, nil
}

// addHops makes a hop of each host, with its user, its host keys and the user's key.
func (w *way) addHops(hostKeys []chain.HostKeys) {
	login := w.keys[len(w.hosts)-1]
	for i, h := range w.hosts {
		u := cmp.Or(h.User, w.keys[i].Principal(), w.hosts[len(w.hosts)-1].User, login.Principal(), localUser())
		w.hosts[i].User = u
		if p := w.keys[i].Principals; len(p) > 0 && !slices.Contains(p, u) {
			w.warnings = append(w.warnings, fmt.Sprintf("the certificate for %s is for %s, not for %s", h.Name, strings.Join(p, ", "), u))
		}
		w.hops = append(w.hops, chain.Hop{
			Name: h.Name, Addr: h.Addr(), User: u, Signer: w.keys[i].Signer, HostKeys: hostKeys[i], HostKeyAlias: h.HostKeyAlias,
		})
	}
	if err := login.Unfit(); err != nil {
		p := problem.Of(err)
		w.warnings = append(w.warnings, p.Message+"; "+p.Hint)
	}
}

// addOptions takes the timeout and address family from ssh's configuration.
func (w *way) addOptions() {
	for _, h := range w.hosts {
		w.options.Timeout = max(w.options.Timeout, h.ConnectTimeout)
	}
	switch w.hosts[0].AddressFamily {
	case "inet":
		w.options.Network = "tcp4"
	case "inet6":
		w.options.Network = "tcp6"
	}
}

// findSignedKeys finds the keys, and has a key signed if necessary.
func (w *way) findSignedKeys(ctx context.Context, prompter key.Prompter) error {
	keys, err := w.findKeys(ctx, prompter)
	signed, failed := w.renew.renewIfNeeded(ctx, w.hosts, keys, err)
	switch {
	case failed != nil:
		return failed
	case signed:
		keys, err = w.findKeys(ctx, prompter)
	}
	w.keys = keys
	return err
}

// refreshKeys finds the keys again without questions, since a certificate may have expired and been renewed.
// The caller holds w.mu.
func (w *way) refreshKeys(ctx context.Context) error {
	if w.renew.canSign() && w.renew.Signer.IsUnattended() {
		if _, err := w.renew.renewIfNeeded(ctx, w.hosts, w.keys, nil); err != nil {
			return err
		}
	}
	// The agent may hold other keys by now. An agent that asks its user must not block w.mu, so its time is
	// short.
	keys, err := w.findKeys((*key.Lists)(nil).In(ctx), nil)
	if err != nil {
		return err
	}
	w.useKeys(keys)
	return nil
}

// useKeys sets the keys for later dials. The caller holds w.mu.
func (w *way) useKeys(keys []*key.Identity) {
	w.keys = keys
	w.hops = slices.Clone(w.hops) // other dials may use the old slice
	for i := range w.hops {
		w.hops[i].Signer = keys[i].Signer
	}
}

// findKeys loads the key of each host, and each key only once.
func (w *way) findKeys(ctx context.Context, prompter key.Prompter) ([]*key.Identity, error) {
	var keys []*key.Identity
	var sources []key.Source
	for _, h := range w.hosts {
		src := keySource(h)
		src.Sealed = w.sealed
		sources = append(sources, src)
		same := slices.IndexFunc(sources, func(s key.Source) bool { return reflect.DeepEqual(s, src) })
		if same < len(keys) {
			keys = append(keys, keys[same])
			continue
		}
		id, err := w.ring.Load(ctx, src, prompter)
		if err != nil {
			return nil, err
		}
		keys = append(keys, id)
	}
	return keys, nil
}

// keySource returns where to look for the key of h.
func keySource(h site.Host) key.Source {
	return key.Source{
		Identity: h.Identity, IdentityFiles: h.IdentityFiles, CertificateFiles: h.CertificateFiles, Common: h.Common,
		IdentityAgent: h.IdentityAgent, IdentitiesOnly: h.IdentitiesOnly,
	}
}

// answerChallenge asks the user what a host asks after it has accepted the key: a second factor.
func (w *way) answerChallenge(ctx context.Context, c chain.Challenge) (answers []string, err error) {
	for _, text := range []string{c.Name, c.Instruction} {
		if text != "" {
			w.prompter.TellAll(text)
		}
	}
	for _, p := range c.Prompts {
		question := fmt.Sprintf("(%s@%s) %s ", c.User, c.Hop, p.Text)
		var answer string
		if p.Echo {
			answer, err = w.prompter.ReadLine(ctx, question)
		} else {
			var secret []byte
			secret, err = w.prompter.ReadSecret(ctx, question)
			answer = string(secret)
			clear(secret)
		}
		if err != nil {
			return nil, cancellationCause(ctx, err)
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// refusalCause returns the cause of err if this side knows it better than the host that refused: a certificate
// that was valid when the session began may have expired.
func (w *way) refusalCause(err error) error {
	var left *session.TeardownError
	if errors.As(err, &left) { // there may still be a job
		because := *left
		because.Err = w.refusalCause(left.Err)
		return &because
	}
	var refused *chain.AuthError
	if w == nil || !errors.As(err, &refused) || refused.Accepted {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.keys) == 0 {
		return err
	}
	id := w.keys[len(w.keys)-1]
	var expired *key.ExpiredError
	if id.Cert == nil || !errors.As(key.InTime(cmp.Or(id.CertPath, id.Path), id.Cert, time.Now()), &expired) {
		return err
	}
	return expired
}

// hostKeys returns how to verify the keys of h: by its known_hosts files and, for an unknown host, as
// StrictHostKeyChecking says.
func (w *way) hostKeys(h site.Host) (chain.HostKeys, error) {
	var answer chain.AskFunc
	switch h.StrictHostKeyChecking {
	case "yes", "true":
	case "no", "off", "false", "accept-new":
		// A changed key is refused in any case.
		answer = func(_ context.Context, q chain.Question) (bool, error) {
			w.addWarning(fmt.Sprintf("the host key of %s was not known and is accepted (StrictHostKeyChecking): %s %s", q.Host, q.KeyType, q.Fingerprint))
			return true, nil
		}
	default:
		if w.prompter != nil {
			answer = func(ctx context.Context, q chain.Question) (bool, error) {
				return w.prompter.Ask(ctx, q.String(), chain.AskAgain, q.Answer)
			}
		}
	}
	known, err := chain.OpenKnownHosts(slices.Concat(h.UserKnownHosts, h.GlobalKnownHosts), answer)
	if err != nil {
		return nil, err
	}
	w.known = append(w.known, known)
	return known, nil
}

func (w *way) addWarning(message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warnings = append(w.warnings, message)
}

// takeWarnings returns the warnings that are not in told, and adds them to it.
func (w *way) takeWarnings(told map[string]bool) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.warnings
	for _, k := range w.known {
		for _, m := range k.Warnings() {
			all = append(all, m.Error())
		}
	}
	var fresh []string
	for _, m := range all {
		if !told[m] {
			told[m] = true
			fresh = append(fresh, m)
		}
	}
	return fresh
}

// nodeHop returns the hop from the login node to a compute node: with the login node's user and key, and the
// host keys that were reported for the node. If the certificate expires within 30 s, it looks for a renewed
// one, since the job may have waited for long.
func (w *way) nodeHop(node string, keys chain.HostKeys) chain.Hop {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until := w.keys[len(w.keys)-1].ValidBefore; !until.IsZero() && time.Until(until) < 30*time.Second {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		_ = w.refreshKeys(ctx) // on error the old one stays, and the node reports the reason
	}
	if w.keyErr != nil { // there may be a key by now
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		if keys, err := w.findKeys(ctx, nil); err == nil {
			w.useKeys(keys)
			w.keyErr = nil
		}
	}
	login := w.hops[len(w.hops)-1]
	return chain.Hop{Name: node, Addr: net.JoinHostPort(node, "22"), User: login.User, Signer: login.Signer, HostKeys: keys}
}

// describeHop describes hop i: address, user, key and its validity.
func (w *way) describeHop(i int) string {
	h := w.hosts[i]
	s := fmt.Sprintf("%-8s %s@%s  %s", h.Name, h.User, h.Addr(), describeKey(w.keys[i]))
	if w.master != "" && i == len(w.hosts)-1 {
		s += "; by the connection of ssh, " + w.master
	}
	return s
}

// describeKey describes a key with its certificate and validity.
func describeKey(id *key.Identity) string {
	s := "key " + cmp.Or(id.Path, id.Comment, id.Fingerprint)
	if id.Agent {
		s += " (in the agent)"
	}
	if id.Cert == nil {
		return s + ", no certificate"
	}
	s += ", certificate of " + strings.Join(id.Principals, ", ")
	if id.ValidBefore.IsZero() {
		return s + ", valid forever"
	}
	return fmt.Sprintf("%s, valid until %s (%s)", s, id.ValidBefore.Local().Format("Mon 2 Jan 15:04"), ui.Duration(time.Until(id.ValidBefore)))
}

// localUser returns the name of the local user, which is the last default, as in ssh.
func localUser() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username[strings.LastIndex(u.Username, `\`)+1:] // on Windows: DOMAIN\name
}
