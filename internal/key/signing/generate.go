package signing

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/key"
)

// publicOf returns the public half of the key at r.Path. It opens the key only if that is an old
// encrypted file without a .pub.
func (r Request) publicOf(ctx context.Context) (ssh.PublicKey, error) {
	s := key.Inspect(r.Path, time.Now(), r.Held)
	switch {
	case errors.As(s.Problem, new(*key.HalfError)), errors.As(s.Problem, new(*key.AgentError)):
		return nil, s.Problem
	case s.Public != nil:
		return s.Public, nil
	case !s.Exists && s.Problem != nil:
		return nil, s.Problem
	}
	raw, passphrase, err := key.Open(ctx, s.Path, r.Ask)
	if err != nil {
		return nil, err
	}
	clear(passphrase)
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, &key.FileError{Path: s.Path, What: "it is no private key that can be used from here", Err: err}
	}
	return signer.PublicKey(), nil
}

// generateKey makes an Ed25519 key and writes it to files of b.
func (r Request) generateKey(ctx context.Context, b *batch) (ssh.Signer, error) {
	passphrase, err := r.newPassphrase(ctx)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	sealed, err := encodePrivateKey(private, r.Comment, passphrase)
	if err != nil {
		return nil, err
	}
	defer clear(sealed)
	for part, data := range [][]byte{sealed, publicLine(signer.PublicKey(), r.Comment)} {
		f, err := b.stageFile(part)
		if err == nil {
			err = f.write(data)
		}
		if err != nil {
			return nil, err
		}
	}
	return signer, nil
}

// encodePrivateKey encodes a private key in OpenSSH's format (PROTOCOL.key), encrypted unless the
// passphrase is empty.
func encodePrivateKey(private any, comment string, passphrase []byte) ([]byte, error) {
	block, err := ssh.MarshalPrivateKey(private, comment)
	if len(passphrase) > 0 {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, comment, passphrase)
	}
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// publicLine returns a public key as ssh-keygen writes it.
func publicLine(pub ssh.PublicKey, comment string) []byte {
	line := bytes.TrimSuffix(ssh.MarshalAuthorizedKey(pub), []byte("\n"))
	return fmt.Appendf(line, " %s\n", comment)
}
