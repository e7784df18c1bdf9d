package key

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Ring loads keys for several hosts and asks for the passphrase of each file
// once. The zero value is ready; its methods may be called by many goroutines.
type Ring struct {
	mu   sync.Mutex
	open map[string]ssh.Signer      // decrypted keys, by path
	shut map[string]PassphraseError // those that no passphrase opened, likewise
}

// Load is as the function Load.
func (r *Ring) Load(ctx context.Context, from Source, ask Prompter) (*Identity, error) {
	if from.Dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, &HomeError{Err: err}
		}
		from.Dir = filepath.Join(home, ".ssh")
	}
	if from.Now == nil {
		from.Now = time.Now
	}
	s := &search{ctx: ctx, from: from, ask: ask, ring: r, agent: agentOf(from.IdentityAgent)}
	return s.run()
}

// Add has the passphrase of a file not be asked for: its key is at hand.
func (r *Ring) Add(path string, signer ssh.Signer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(path, signer)
}

// add is Add with the lock held.
func (r *Ring) add(path string, signer ssh.Signer) {
	if r.open == nil {
		r.open = map[string]ssh.Signer{}
	}
	r.open[path] = signer
}

// opened returns the key of a file that was opened before; nil: it was not.
func (r *Ring) opened(k *keyFile) ssh.Signer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.get(k)
}

// get is opened with the lock held.
func (r *Ring) get(k *keyFile) ssh.Signer {
	if signer := r.open[k.private]; signer != nil && (k.pub == nil || same(signer.PublicKey(), k.pub)) {
		return signer
	}
	return nil
}

// decrypt asks for the passphrase of a file, three times at most, as ssh does.
// The lock is held meanwhile: a second host with the same key waits for the
// answer instead of asking again.
func (r *Ring) decrypt(ctx context.Context, k *keyFile, ask Prompter) (ssh.Signer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if signer := r.get(k); signer != nil {
		return signer, nil
	}
	failed := &PassphraseError{Path: k.private, Fix: addToAgent(k.private, len(k.certs) > 0), Err: ErrNoTerminal}
	if ask == nil {
		if before, ok := r.shut[k.private]; ok {
			failed = &before
		}
		return nil, failed
	}
	for failed.Tries < mostTries {
		passphrase, err := ask.ReadSecret(ctx, question(k.private, failed.Tries))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			failed.Err = err
			return nil, failed
		}
		signer, err := k.decrypt(passphrase)
		clear(passphrase)
		if err == nil {
			r.add(k.private, signer)
			return signer, nil
		}
		if errors.As(err, new(*FileError)) {
			return nil, err
		}
		failed.wrong(x509.IncorrectPasswordError)
	}
	if r.shut == nil {
		r.shut = map[string]PassphraseError{}
	}
	r.shut[k.private] = *failed
	return nil, failed
}
