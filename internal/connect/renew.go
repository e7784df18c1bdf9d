package connect

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/alps-tunnel/cscs/internal/key"
	"github.com/alps-tunnel/cscs/internal/key/signing"
	"github.com/alps-tunnel/cscs/internal/site"
)

// A Renewal has a key signed when a command needs it. It asks the user first, but not for a service account.
type Renewal struct {
	Signer   *Signer
	Disabled bool                 // sign nothing (--no-sign)
	Until    time.Time            // how long the certificate should be valid; zero: only now
	Signed   func(signing.Result) // tells the user of a new certificate

	ring           *key.Ring            // the route's ring, which gets the opened new key
	warn           func(warning string) // adds to the route's warnings
	now            func() time.Time
	precedenceTold bool
}

// personKeyValidity is the lifetime of a certificate for a user.
const personKeyValidity = 24 * time.Hour

// minRenewalGain is the least time that another certificate must add, since the service signs five a day.
const minRenewalGain = time.Hour

// canSign reports whether a key can be signed now: the service needs no user, or there is a terminal to ask on.
func (r *Renewal) canSign() bool {
	return r != nil && !r.Disabled && (r.Signer.Prompter != nil || r.Signer.IsUnattended())
}

// renewIfNeeded has a key signed if there is none (err), or if that of the last host does not suffice. It
// reports whether there is a new certificate.
func (r *Renewal) renewIfNeeded(ctx context.Context, hosts []site.Host, keys []*key.Identity, err error) (bool, error) {
	if err != nil {
		return r.signAfterError(ctx, hosts, err)
	}
	login := keys[len(keys)-1]
	if signed, err := r.signUnsignedKey(ctx, hosts[len(hosts)-1], login); signed || err != nil {
		return signed, err
	}
	return r.renewEarly(ctx, login)
}

// signAfterError has the key signed that err says is missing or expired. It reports whether there is a new
// certificate.
func (r *Renewal) signAfterError(ctx context.Context, hosts []site.Host, err error) (bool, error) {
	if !r.canSign() {
		return false, nil
	}
	path, err := r.pathToSign(hosts, err)
	if path == "" || err != nil {
		return false, err
	}
	what := "there is no key yet"
	if s := key.Inspect(path, r.now(), nil); s.Exists && s.Cert == nil {
		what = "the key is not signed"
	} else if s.Exists {
		what = "the key's certificate has expired"
	}
	return r.offerSigning(ctx, path, what+": get it signed now?")
}

// pathToSign returns the path of the key to sign because of err; "" if signing would not help.
func (r *Renewal) pathToSign(hosts []site.Host, err error) (string, error) {
	var expired *key.ExpiredError
	switch {
	case errors.As(err, new(*key.MissingError)):
		if slices.ContainsFunc(hosts, func(h site.Host) bool { return h.Identity != "" }) {
			return "", nil // a key that the user named is not created here
		}
		return key.DefaultPath()
	case errors.As(err, &expired):
		if path, ok := strings.CutSuffix(expired.Path, "-cert.pub"); ok && filepath.IsAbs(path) {
			return path, nil
		}
		return key.DefaultPath() // the expired certificate is the agent's
	}
	return "", nil
}

// signUnsignedKey has the key for h signed if it has no certificate, since the host would refuse it. It signs
// the key that is configured for h, otherwise ~/.ssh/cscs-key, and no other key of the user.
func (r *Renewal) signUnsignedKey(ctx context.Context, h site.Host, id *key.Identity) (bool, error) {
	if !r.canSign() || id.Cert != nil {
		return false, nil
	}
	path, err := key.DefaultPath()
	if err != nil {
		return false, err
	}
	if h.Identity != "" && id.Path != "" {
		path = strings.TrimSuffix(id.Path, ".pub")
	} else if good := key.Inspect(path, r.now(), nil).Problem == nil; good || KeySource(h).Precedes(id.Path) {
		r.reportPrecedence(path, good, id) // signing another key would not change which one is used
		return false, nil
	}
	return r.offerSigning(ctx, path, path+" is not signed: get it signed now?")
}

// reportPrecedence prints once which key takes precedence over path. signed says that path has a valid certificate.
func (r *Renewal) reportPrecedence(path string, signed bool, id *key.Identity) {
	if r.precedenceTold || id.Path == "" {
		return
	}
	r.precedenceTold = true
	use := "use that with"
	if !signed {
		use = "have that signed (" + key.SignCommand + "), and use it with"
	}
	r.Signer.Say(fmt.Sprintf("the key %s, which the configuration of ssh or the site-wide file names, is not signed, and is used before %s: %s --identity %s", id.Path, path, use, shellescape.Quote(path)))
}

// renewEarly has the key signed if its certificate ends before the job may, and a new one adds enough time. For
// users, errors are only warnings.
func (r *Renewal) renewEarly(ctx context.Context, id *key.Identity) (bool, error) {
	if r == nil || id.Cert == nil || id.ValidBefore.IsZero() {
		return false, nil
	}
	now := r.now()
	if r.canSign() && r.Signer.IsUnattended() {
		if id.ValidBefore.Sub(now) > 30*time.Second {
			return false, nil
		}
		path, err := id.SignPath(), error(nil)
		if path == "" { // the agent's certificate replaces no file
			path, err = key.DefaultPath()
		}
		if err != nil {
			return false, err
		}
		return r.offerSigning(ctx, path, "")
	}
	if r.Until.IsZero() || !id.ValidBefore.Before(r.Until) {
		return false, nil
	}
	gain := min(now.Add(personKeyValidity).Sub(id.ValidBefore), r.Until.Sub(id.ValidBefore))
	if gain < min(minRenewalGain, r.Until.Sub(now)/2) {
		return false, nil
	}
	ends := fmt.Sprintf("the key's certificate ends %s, before the job may (%s)", describeTime(id.ValidBefore, now), describeTime(r.Until, now))
	n, of := r.Signer.UsedSignings()
	if !r.canSign() || id.Path == "" || of > 0 && n >= of {
		r.warn(ends + ": a connection that is lost after that comes back only with a new one: " + key.SignCommand + " --force")
		return false, nil
	}
	signed, err := r.offerSigning(ctx, id.SignPath(), ends+": have it signed anew first?")
	if err != nil && ctx.Err() == nil {
		r.warn("the key was not signed anew: " + err.Error())
		err = nil
	}
	return signed, err
}

// offerSigning asks the user and signs after a yes. For a service account it does not ask.
func (r *Renewal) offerSigning(ctx context.Context, path, question string) (bool, error) {
	before := key.Inspect(path, r.now(), nil) // another process may sign it during the question
	if !r.Signer.IsUnattended() {
		yes, err := r.Signer.Prompter.Ask(ctx, question+" [Y/n] ", "yes or no? ", yesNo)
		if err != nil || !yes {
			return false, err
		}
	}
	result, err := r.Signer.signAfter(ctx, path, &before)
	if err != nil {
		return false, err
	}
	if result.Signer != nil {
		r.ring.Add(result.Path, result.Signer)
	}
	if !r.Signer.IsUnattended() {
		r.Signed(result)
	}
	return true, nil
}

// yesNo parses an answer; an empty one is a yes.
func yesNo(answer string) (yes, understood bool) {
	switch strings.ToLower(answer) {
	case "", "y", "yes":
		return true, true
	case "n", "no":
		return false, true
	}
	return false, false
}

// describeTime formats a time of day, with the date unless it is today.
func describeTime(at, now time.Time) string {
	if at.Local().Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return "at " + at.Local().Format("15:04")
	}
	return "on " + at.Local().Format("Mon 2 Jan 15:04")
}
