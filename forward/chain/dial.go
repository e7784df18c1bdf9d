package chain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// clientVersion is the version that servers log. Sites know x/crypto's own "SSH-2.0-Go" from bots
// that try passwords, and some sites block it.
const clientVersion = "SSH-2.0-cscs"

// keyboardInteractive is the name of the authentication method (RFC 4256).
const keyboardInteractive = "keyboard-interactive"

// addHop dials hop through the chain so far and appends its SSH connection.
func (c *Chain) addHop(ctx context.Context, hop Hop) error {
	if hop.Signer == nil || hop.HostKeys == nil {
		return fmt.Errorf("dial %s: no key to offer, or no way to verify the host", hop.Name)
	}
	c.opts.Observe(hop.Name, false)
	d := dialAttempt{chain: c, hop: hop}
	l, err := d.dialHop(ctx)
	if err != nil && d.waitedForUser && d.transport.hasFailed() && !d.isDeliberateEnd(err) && ctx.Err() == nil {
		// The user was asked about the host key or for a second factor, and the server's time limit
		// (sshd's LoginGraceTime) expired meanwhile. Dial once more.
		d = dialAttempt{chain: c, hop: hop}
		l, err = d.dialHop(ctx)
	}
	if err != nil {
		return err
	}
	c.appendSSHConn(l)
	c.opts.Observe(hop.Name, true)
	return nil
}

// isDeliberateEnd reports whether the hop or the user ended the attempt on purpose.
func (d *dialAttempt) isDeliberateEnd(err error) bool {
	var refused *AuthError
	return d.unanswered != nil || errors.As(err, &refused) && refused.Disconnect != ""
}

// A dialAttempt is one attempt to dial a hop, and what it has found out.
type dialAttempt struct {
	chain *Chain
	hop   Hop

	timer     *pausableTimer
	offer     *offeredKey
	transport *monitoredConn

	verified      ssh.PublicKey // the accepted host key
	waitedForUser bool          // the host key or a second factor took as long as a person takes
	hostKey       error         // why the host key was not accepted

	banner   strings.Builder
	methods  []string
	partial  bool
	attempts int // answered authentication attempts, with "none"

	asked      int   // how often the user was asked for a second factor
	answered   bool  // the user has answered
	unanswered error // why the user did not answer
}

// dialHop opens the transport, runs the SSH handshake and authenticates, within Options.Timeout.
func (d *dialAttempt) dialHop(ctx context.Context) (*sshConn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.timer = startPausableTimer(d.chain.opts.Timeout, func() { cancel(&timeoutError{d.chain.opts.Timeout}) }, d.chain.opts.Asking)
	defer d.timer.stop()

	overNetwork := d.hop.Carrier == nil && d.chain.lastSSHConn() == nil
	conn, err := d.openTransport(ctx)
	if err != nil {
		return nil, d.explainError(ctx, PhaseConnect, err)
	}
	d.transport = newMonitoredConn(conn)
	d.transport.overNetwork = overNetwork
	d.offer = &offeredKey{Signer: d.hop.Signer, ctx: ctx, timer: d.timer}

	// A channel has no deadlines, x/crypto's handshake no context. Closing the transport ends it.
	stop := context.AfterFunc(ctx, func() { _ = d.transport.Close() })
	sc, chans, reqs, err := ssh.NewClientConn(d.transport, d.hop.Addr, d.clientConfig(ctx))
	if !stop() && err == nil {
		// ctx ended at the last moment: the transport is already being closed.
		_ = sc.Close()
		err = context.Cause(ctx)
		go ssh.DiscardRequests(reqs)
	}
	if err != nil {
		return nil, d.explainError(ctx, PhaseHandshake, err)
	}
	d.transport.endGreeting()
	if d.answered || d.timer.userInvolved || strings.HasPrefix(plainType(d.hop.Signer.PublicKey().Type()), "sk-") {
		d.chain.userInvolved.Store(true)
	}
	return newSSHConn(d.chain, d.hop.Name, d.transport, ssh.NewClient(sc, chans, reqs)), nil
}

// openTransport opens the transport of the hop's SSH connection.
func (d *dialAttempt) openTransport(ctx context.Context) (net.Conn, error) {
	if d.hop.Carrier != nil {
		return d.hop.Carrier(ctx)
	}
	if carrier := d.chain.lastSSHConn(); carrier != nil {
		return carrier.dialAddr(ctx, "tcp", d.hop.Addr)
	}
	return d.chain.opts.NetDial(ctx, d.chain.opts.Network, d.hop.Addr)
}

// clientConfig returns x/crypto's configuration. Its callbacks record in d what the hop shows.
func (d *dialAttempt) clientConfig(ctx context.Context) *ssh.ClientConfig {
	algorithms := d.hop.HostKeys.Algorithms(d.hop.hostName())
	if algorithms == nil {
		algorithms = slices.Concat(certAlgorithms, plainAlgorithms)
	}
	return &ssh.ClientConfig{
		ClientVersion:     clientVersion,
		User:              d.hop.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(d.offer)},
		HostKeyAlgorithms: algorithms,
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			if d.verified != nil { // keys are exchanged again (RFC 4253, section 9)
				return sameAgain(d.hop, d.verified, key)
			}
			if d.hostKey = d.checkHostKey(ctx, remote, key); d.hostKey == nil {
				d.verified = key
			}
			return d.hostKey
		},
		BannerCallback: func(message string) error {
			if d.banner.Len() < 16<<10 {
				d.banner.WriteString(sanitizeText(message) + "\n")
			}
			return nil
		},
		AuthCallback: func(auth *ssh.ClientAuthContext) (ssh.AuthMethod, error) { return d.chooseAuthMethod(ctx, auth) },
	}
}

// automaticAnswerTime is the longest that an answer without a person takes.
const automaticAnswerTime = 5 * time.Second

// checkHostKey calls the hop's HostKeys with the timer paused, since that may ask a person. It
// returns when ctx ends, even if HostKeys does not.
func (d *dialAttempt) checkHostKey(ctx context.Context, remote net.Addr, key ssh.PublicKey) error {
	defer d.timer.pause()()
	began := time.Now()
	defer func() { d.waitedForUser = time.Since(began) > automaticAnswerTime }()

	checked := make(chan error, 1)
	go func() { checked <- d.hop.HostKeys.Check(ctx, d.hop.hostName(), remote, key) }()
	select {
	case err := <-checked:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sameAgain refuses a host that changes its key during the connection, as ssh does.
func sameAgain(hop Hop, before, now ssh.PublicKey) error {
	if sameKey(before, now) {
		return nil
	}
	return &HostKeyError{
		Hop: hop.Name, Host: hop.hostName(), Kind: HostKeyChanged,
		KeyType: typeName(now.Type()), Fingerprint: ssh.FingerprintSHA256(bareKey(now)),
		Reason: "it is not the one that the connection began with",
	}
}

// explainError converts err, from the given phase, to the most specific error type.
func (d *dialAttempt) explainError(ctx context.Context, phase string, err error) error {
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if !errors.As(cause, new(*timeoutError)) {
			return fmt.Errorf("dial %s: %w", d.hop.Name, cause)
		}
		err = cause
	}
	if hk := (*HostKeyError)(nil); errors.As(d.hostKey, &hk) {
		named := *hk
		named.Hop = d.hop.Name
		return &named
	}
	if d.hostKey != nil && ctx.Err() == nil {
		return &DialError{Hop: d.hop.Name, Addr: d.hop.Addr, Phase: phase, Err: d.hostKey}
	}
	if d.verified != nil {
		phase = PhaseAuthenticate
	}
	if d.offer != nil && d.offer.failed != nil && ctx.Err() == nil {
		return &SignError{Hop: d.hop.Name, Offered: describeKey(d.hop.Signer.PublicKey()), Err: d.offer.failed}
	}
	if d.isRefusal(ctx, err) {
		return &AuthError{
			Hop:        d.hop.Name,
			User:       d.hop.User,
			Offered:    describeKey(d.hop.Signer.PublicKey()),
			Principals: certPrincipals(d.hop.Signer.PublicKey()),
			InTime:     inTime(d.hop.Signer.PublicKey(), time.Now()),
			Accepted:   d.offer.asked.Load(),
			Partial:    d.partial,
			Answered:   d.answered,
			Methods:    d.methods,
			Banner:     strings.TrimSpace(d.banner.String()),
			Disconnect: disconnectMessage(err),
			Err:        err,
		}
	}
	if n := (*ssh.AlgorithmNegotiationError)(nil); errors.As(err, &n) && n.What == "host key" {
		return &HostKeyError{
			Hop: d.hop.Name, Host: d.hop.hostName(), Kind: HostKeyChanged,
			Reason: "it has no key of the types that are known for it, but " + strings.Join(n.RequestedAlgorithms, ", "),
		}
	}
	return &DialError{Hop: d.hop.Name, Addr: d.hop.Addr, Phase: phase, Said: d.transport.nonSSHGreeting(), Err: err}
}

// isRefusal reports whether the hop refused the login, and neither broke off nor was silent.
func (d *dialAttempt) isRefusal(ctx context.Context, err error) bool {
	switch {
	case d.verified == nil || ctx.Err() != nil:
		return false
	case disconnectMessage(err) != "":
		return true
	case errors.As(err, new(*LostError)):
		return false // the hop that carries it broke
	case d.offer.asked.Load():
		// The hop accepted the key and then hung up: it refuses the account (PAM). OpenSSH says so
		// in a banner at most.
		return true
	}
	return d.attempts > 0 && !d.transport.hasFailed()
}
