package session

import (
	"context"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/runclock"
)

// nodeKeys are the host keys of the node, as the runner has found them there (invariant I7):
// first those of its files, which come at once, then those that its sshd shows. A node's image may
// carry files of keys that its sshd does not use.
type nodeKeys struct {
	lines   []string // as in authorized_keys(5)
	scanned bool     // sshd has been asked, or did not answer in time
	refused error    // why the node was not dialled with the keys of the files; nil: it was
}

// scanPatience is how long the runner is given to ask the node's sshd. A runner of an older
// version does not ask.
const scanPatience = 10 * time.Second

// unscanned is the message that the runner has not reported the keys of a node's sshd in time.
type unscanned struct{ node string }

var errNoHostKeys = errors.New("the runner found no host keys on the node")

// addScanned takes in the keys that sshd shows.
func (k *nodeKeys) addScanned(lines []string) {
	k.lines, k.scanned = append(k.lines, lines...), true
}

// awaitsKeys reports whether the dial that ended with err, with those keys, is repeated with the keys that
// the node's sshd shows: at once, or when the runner has reported them.
func (s *session) awaitsKeys(work context.Context, keys nodeKeys, err error) bool {
	var stranger *chain.HostKeyError
	if keys.scanned || !errors.As(err, &stranger) && !errors.Is(err, errNoHostKeys) {
		return false
	}
	if s.keys.scanned {
		s.dialNode(work)
		return true
	}
	s.keys.refused = err
	late := unscanned{s.nodeName}
	s.work.Go(func() {
		over := make(chan struct{})
		defer runclock.AfterFunc(scanPatience, func() { close(over) }).Stop()
		select {
		case <-over:
			_ = s.sendMessage(work, late)
		case <-work.Done():
		}
	})
	return true
}

// dialKnown dials the node again if that waits for the keys of its sshd.
func (s *session) dialKnown(work context.Context) {
	if s.keys.refused != nil {
		s.dialNode(work)
	}
}

// parseKeys returns the keys of lines as in authorized_keys(5), or errNoHostKeys if there are none.
func parseKeys(lines []string) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	for _, l := range lines {
		// A type of key that we do not know is no reason to do without the others.
		if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l)); err == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errNoHostKeys
	}
	return keys, nil
}
