//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// measureDials measures a whole process that reaches the login node through the jump host and runs true
// there, once with the chain and once with ssh.
func (b *bench) measureDials(ctx context.Context, r record) error {
	for round := range 4 * b.rounds {
		for _, side := range []struct {
			name string
			argv []string
		}{
			{"cscs", []string{b.self, "dial", "/home/alice/.ssh/cscs-key", "/home/alice/.ssh/known_hosts"}},
			{"ssh", []string{"ssh", "-F", "/home/alice/bench-ssh", "daint", "true"}},
		} {
			d, err := b.timeCommand(ctx, side.argv...)
			if err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
			if err := r.writeResult(side.name, round, d.Seconds(), "s"); err != nil {
				return err
			}
		}
	}
	return nil
}

// timeCommand runs a command as alice on the laptop and returns its duration, measured there.
func (b *bench) timeCommand(ctx context.Context, argv ...string) (time.Duration, error) {
	const watch = `a=$EPOCHREALTIME; "$@" >/dev/null </dev/null || exit; b=$EPOCHREALTIME; echo $((${b/./} - ${a/./}))`
	c := b.As(ctx, "alice", "laptop", append([]string{"bash", "-c", watch, "bash"}, argv...)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return 0, fmt.Errorf("%q: %w: %s", argv, err, stderr.String())
	}
	var us int64
	if _, err := fmt.Sscan(string(out), &us); err != nil {
		return 0, fmt.Errorf("%q printed %q", argv, out)
	}
	return time.Duration(us) * time.Microsecond, nil
}

// dialAndExec runs on the laptop for measureDials. It reaches the login node with the chain of cscs and
// runs true.
func dialAndExec(ctx context.Context, keyFile, knownHosts string) error {
	signer, err := loadCertSigner(keyFile)
	if err != nil {
		return err
	}
	known, err := chain.OpenKnownHosts([]string{knownHosts}, nil)
	if err != nil {
		return err
	}
	hop := func(name, addr string) chain.Hop {
		return chain.Hop{Name: name, Addr: addr, User: "alice", Signer: signer, HostKeys: known}
	}
	hops := []chain.Hop{hop("ela", "ela.cscs.ch:22"), hop("daint", "daint.alps.cscs.ch:22")}
	c, err := chain.Dial(ctx, hops, chain.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	return c.Exec(ctx, "true", nil, io.Discard, io.Discard)
}

// loadCertSigner returns the signer of a key file and the certificate beside it.
func loadCertSigner(keyFile string) (ssh.Signer, error) {
	private, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(keyFile + "-cert.pub")
	if err != nil {
		return nil, err
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, err
	}
	cert, ok := public.(*ssh.Certificate)
	if !ok {
		return nil, fmt.Errorf("%s-cert.pub holds no certificate", keyFile)
	}
	return ssh.NewCertSigner(cert, key)
}
