package key

import (
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"
)

// sealedKey is an encrypted key that is opened on demand. Once open, it signs with any algorithm of the key.
type sealedKey struct {
	pub    ssh.PublicKey
	unseal func(context.Context, Prompter) (ssh.Signer, error)

	mu     sync.Mutex
	signer ssh.Signer // nil until it is opened
}

var _ ssh.AlgorithmSigner = (*sealedKey)(nil)

var errSealed = errors.New("the key has not been opened")

func (s *sealedKey) isSealed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signer == nil
}

func (s *sealedKey) open(ctx context.Context, ask Prompter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signer != nil {
		return nil
	}
	signer, err := s.unseal(ctx, ask)
	if err == nil {
		s.signer = signer
	}
	return err
}

// PublicKey implements ssh.Signer.
func (s *sealedKey) PublicKey() ssh.PublicKey { return s.pub }

// Sign implements ssh.Signer.
func (s *sealedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (s *sealedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s.mu.Lock()
	signer := s.signer
	s.mu.Unlock()
	if signer == nil {
		return nil, errSealed
	}
	if able, ok := signer.(ssh.AlgorithmSigner); ok && algorithm != "" {
		return able.SignWithAlgorithm(rand, data, algorithm)
	}
	return signer.Sign(rand, data)
}
