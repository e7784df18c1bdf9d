package key

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/crypto/ssh"
)

// search is the state of one Load.
type search struct {
	ctx  context.Context
	from Source
	ask  Prompter
	ring *Ring

	agent    Agent
	asked    bool // the agent was asked
	held     []heldKey
	agentErr error // why the agent did not answer

	looked   []string
	staleErr error // of the first certificate that is not valid now
	halfErr  error // the named key, or cscs-key, exists as its public half alone
}

// defaultNames are the names that ssh tries if nothing is configured.
var defaultNames = []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss", "id_dsa"}

// findIdentity tries the steps of the package comment in order.
func (s *search) findIdentity() (*Identity, error) {
	if s.from.Identity != "" {
		return s.findNamedKey(s.from.Identity)
	}
	first, common, last := s.from.groupFiles()
	cscs := []string{filepath.Join(s.from.Dir, "cscs-key")}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} { // the strongest first
		if path := filepath.Join(s.from.Dir, name); !slices.Contains(last, path) {
			last = append(last, path)
		}
	}
	for _, step := range []func() (*Identity, error){
		func() (*Identity, error) { return s.findInFiles(first, false) },
		func() (*Identity, error) { return s.findInFiles(cscs, true) },
		func() (*Identity, error) { return s.findInFiles(common, true) },
		s.agentCertificate,
		func() (*Identity, error) { return s.findInFiles(common, false) },
		func() (*Identity, error) { return s.findInFiles(cscs, false) },
		func() (*Identity, error) { return s.findInFiles(last, false) },
		s.agentKey,
	} {
		id, err := step()
		if s.ctx.Err() != nil {
			return nil, context.Cause(s.ctx)
		}
		if id != nil || err != nil {
			return id, err
		}
	}
	return nil, s.notFoundError()
}

// groupFiles divides the files of ssh_config. Those in first precede ~/.ssh/cscs-key. Those in common
// precede a bare cscs-key if certified. Those in last are ssh's default names.
func (from Source) groupFiles() (first, common, last []string) {
	for i, path := range slices.Concat(from.IdentityFiles, from.CertificateFiles) { // the latter for keys in an agent
		switch {
		case i < len(from.IdentityFiles) && filepath.Dir(path) == from.Dir && slices.Contains(defaultNames, filepath.Base(path)):
			last = append(last, path)
		case slices.Contains(from.Common, path):
			common = append(common, path)
		default:
			first = append(first, path)
		}
	}
	return first, common, last
}

// Precedes reports whether the key at path is used before ~/.ssh/cscs-key, even if that is signed.
func (from Source) Precedes(path string) bool {
	usual, err := DefaultPath()
	if err != nil {
		return false
	}
	from.Dir = cmp.Or(from.Dir, filepath.Dir(usual))
	first, _, _ := from.groupFiles()
	for _, f := range first {
		if f == usual {
			return false
		}
		if f == path || f+".pub" == path {
			return true
		}
	}
	return false
}

// notFoundError returns the error if no key was found.
func (s *search) notFoundError() error {
	if err := cmp.Or(s.halfErr, s.staleErr); err != nil { // without its private half, a new certificate would not help
		return err
	}
	if errors.Is(s.agentErr, ErrAgentHangs) { // the agent may have the key
		return s.agentErr
	}
	return &MissingError{Looked: s.looked, Fix: SignCommand}
}

// findNamedKey returns the key that the user named, or an error.
func (s *search) findNamedKey(path string) (*Identity, error) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok { // --identity=~/x: the shell does not expand it
		path = filepath.Join(filepath.Dir(s.from.Dir), rest)
	}
	id, err := s.findInFiles([]string{path}, false)
	if id == nil && err == nil {
		err = s.notFoundError()
	}
	var missing *MissingError
	if errors.As(err, &missing) {
		missing.Fix += IdentityFlag(path)
	}
	return id, err
}

// findInFiles returns the first of these keys that can be used, or nil. If certified is set, only keys
// with a certificate count.
func (s *search) findInFiles(paths []string, certified bool) (*Identity, error) {
	for _, path := range paths {
		k, err := readKey(path, s.from.CertificateFiles)
		if errors.Is(err, errAbsent) {
			if !certified {
				s.recordLookup(path)
			}
			if _, is := readDanglingLink(path); is {
				s.recordMissingHalf(path)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		id, err := s.makeIdentity(k, certified)
		if id != nil || err != nil {
			return id, err
		}
	}
	return nil, nil
}

// makeIdentity makes an identity of a key that exists. It returns nil if the key cannot be used in this step.
func (s *search) makeIdentity(k *keyFile, certified bool) (*Identity, error) {
	chosen := s.bestCertificate(k.certs)
	inAgent, isHeld := heldKey{}, false
	if k.pub != nil && (k.signer == nil || chosen.cert == nil) { // only then can the agent help
		s.askAgent()
		inAgent, isHeld = findHeldKey(s.held, k.pub)
		if chosen.cert == nil {
			chosen = s.bestCertificate(certificatesFor(s.held, k.pub))
		}
	}
	if !k.exists && !isHeld && s.agentErr == nil {
		s.recordMissingHalf(k.private)
	}
	if chosen.cert == nil && (certified || s.hasStaleCert()) {
		return nil, nil // a bare key cannot replace an expired certificate
	}

	id := &Identity{Path: k.private, CertPath: chosen.path, Comment: k.comment}
	var signer ssh.Signer
	var err error
	switch {
	case k.signer != nil:
		signer = k.signer
	case isHeld:
		signer = &agentSigner{s.agent, inAgent.blob, k.pub}
		id.Agent, id.Comment = true, cmp.Or(id.Comment, inAgent.comment)
	case k.unusable != nil:
		return nil, k.unusable
	case !k.exists:
		if s.agentErr != nil {
			return nil, s.agentErr
		}
		s.recordLookup(k.private + " (its public half alone; the agent does not hold it)")
		return nil, nil
	case s.from.Sealed && k.pub != nil:
		id.sealed = &sealedKey{pub: k.pub, unseal: func(ctx context.Context, ask Prompter) (ssh.Signer, error) { return s.decryptKey(ctx, k, ask) }}
		signer = id.sealed
	case s.from.Sealed && s.ask == nil && s.ring.openedKey(k) == nil:
		path := shellescape.Quote(k.private)
		return nil, &FileError{Path: k.private, What: "its public key is not known without its passphrase: write it beside it",
			Fix: "ssh-keygen -y -f " + path + " >" + path + ".pub"}
	default:
		if signer, err = s.decryptKey(s.ctx, k, s.ask); err != nil {
			return nil, err
		}
	}
	if !k.exists {
		id.Path = k.private + ".pub"
	}
	return id.attachSigner(signer, chosen.cert)
}

// decryptKey opens the private file of k. A PassphraseError also reports whether an agent could hold the key.
func (s *search) decryptKey(ctx context.Context, k *keyFile, ask Prompter) (ssh.Signer, error) {
	signer, err := s.ring.decryptKeyFile(ctx, k, ask)
	var shut *PassphraseError
	if errors.As(err, &shut) {
		s.askAgent()
		shut.Alone = s.agent == "" || s.agentErr != nil
	}
	return signer, err
}

// askAgent asks the agent for its keys, at most once.
func (s *search) askAgent() {
	if s.asked || s.agent == "" {
		return
	}
	s.asked = true
	s.held, s.agentErr = s.agent.listKeys(s.ctx)
}

// agentCertificate returns the valid certificate in the agent that ends last.
func (s *search) agentCertificate() (*Identity, error) {
	if s.from.IdentitiesOnly {
		return nil, nil
	}
	if s.agent != "" {
		s.recordLookup("the agent")
	}
	s.askAgent()
	chosen := s.bestCertificate(certificatesFor(s.held, nil))
	if chosen.cert == nil {
		return nil, nil
	}
	i := slices.IndexFunc(s.held, func(h heldKey) bool { return h.cert == chosen.cert })
	return s.fromAgent(s.held[i])
}

// agentKey returns the agent's only key, if it is a bare one.
func (s *search) agentKey() (*Identity, error) {
	if s.from.IdentitiesOnly || s.hasStaleCert() || len(s.held) != 1 || s.held[0].cert != nil {
		return nil, nil
	}
	return s.fromAgent(s.held[0])
}

// hasStaleCert reports whether a certificate was found that is not valid now.
func (s *search) hasStaleCert() bool { return s.staleErr != nil }

// recordMissingHalf records a key without its private half, if it is the named key or cscs-key. It
// ignores others, as ssh does.
func (s *search) recordMissingHalf(path string) {
	if s.halfErr == nil && (s.from.Identity != "" || path == filepath.Join(s.from.Dir, "cscs-key")) {
		s.halfErr = newHalfError(path, s.asked && s.agentErr == nil)
	}
}

func (s *search) recordLookup(where string) {
	if !slices.Contains(s.looked, where) {
		s.looked = append(s.looked, where)
	}
}

func (s *search) fromAgent(h heldKey) (*Identity, error) {
	id := &Identity{Comment: h.comment, Agent: true}
	return id.attachSigner(&agentSigner{s.agent, h.blob, h.bareKey()}, h.cert)
}
