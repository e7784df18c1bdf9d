package key

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Ring loads keys for several hosts and asks for the passphrase of each file once. The zero value is
// ready to use. Its methods may be called concurrently.
type Ring struct {
	mu       sync.Mutex
	open     map[string]ssh.Signer      // decrypted keys, by path
	failures map[string]PassphraseError // keys that no passphrase opened, by path
}

// Load is the function Load, with the keys that r has opened.
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
	s := &search{ctx: ctx, from: from, ask: ask, ring: r, agent: FindAgent(from.IdentityAgent)}
	return s.findIdentity()
}

// Add stores the opened key of a file, so that its passphrase is not asked for.
func (r *Ring) Add(path string, signer ssh.Signer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addLocked(path, signer)
}

// addLocked is Add with the lock held.
func (r *Ring) addLocked(path string, signer ssh.Signer) {
	if r.open == nil {
		r.open = map[string]ssh.Signer{}
	}
	r.open[path] = signer
}

// openedKey returns the key of a file that was opened before, or nil.
func (r *Ring) openedKey(k *keyFile) ssh.Signer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.openedKeyLocked(k)
}

// openedKeyLocked is openedKey with the lock held.
func (r *Ring) openedKeyLocked(k *keyFile) ssh.Signer {
	if signer := r.open[k.private]; signer != nil && (k.pub == nil || isSameKey(signer.PublicKey(), k.pub)) {
		return signer
	}
	return nil
}

// decryptKeyFile asks for the passphrase of a file, at most three times, as ssh does. It holds the lock
// meanwhile, so that a second host with the same key waits for the answer.
func (r *Ring) decryptKeyFile(ctx context.Context, k *keyFile, ask Prompter) (ssh.Signer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if signer := r.openedKeyLocked(k); signer != nil {
		return signer, nil
	}
	failed := &PassphraseError{Path: k.private, Fix: addToAgent(k.private, len(k.certs) > 0), Err: ErrNoTerminal}
	if ask == nil {
		if before, ok := r.failures[k.private]; ok {
			failed = &before
		}
		return nil, failed
	}
	var signer ssh.Signer
	passphrase, err := failed.askPassphrase(ctx, ask, func(passphrase []byte) (err error) {
		signer, err = k.decryptPrivate(passphrase)
		return err
	})
	clear(passphrase)
	switch {
	case err == nil:
		r.addLocked(k.private, signer)
	case failed.Tries == maxTries:
		if r.failures == nil {
			r.failures = map[string]PassphraseError{}
		}
		r.failures[k.private] = *failed
	}
	return signer, err
}
