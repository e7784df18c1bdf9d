package session

import (
	"context"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/runclock"
)

// nodeKeys are the node's host keys as the runner found them there (invariant I7): first those in
// its key files, which come at once, then those that its sshd presents. A node's image may carry
// key files that its sshd does not use.
type nodeKeys struct {
	lines   []string // in the format of authorized_keys(5)
	scanned bool     // sshd's keys have arrived, or did not in time
	refused error    // why the dial with the keys of the files failed; nil: it did not
}

// scanTimeout is how long the runner may take to query the node's sshd. A runner of an older
// version does not query it.
const scanTimeout = 10 * time.Second

// unscanned is the message that the runner has not reported the keys of the node's sshd in time.
type unscanned struct{ node string }

var errNoHostKeys = errors.New("the runner found no host keys on the node")

// addScanned adds the keys that sshd presents.
func (k *nodeKeys) addScanned(lines []string) {
	k.lines, k.scanned = append(k.lines, lines...), true
}

// awaitsKeys reports whether the failed dial is retried with the keys that the node's sshd
// presents: at once, or when the runner has reported them. keys are those of the failed dial.
func (s *session) awaitsKeys(work context.Context, keys nodeKeys, err error) bool {
	var stranger *chain.HostKeyError
	if keys.scanned || !errors.As(err, &stranger) && !errors.Is(err, errNoHostKeys) {
		return false
	}
	if s.node.keys.scanned {
		s.dialNode(work)
		return true
	}
	s.node.keys.refused = err
	late := unscanned{s.node.name}
	s.work.Go(func() {
		over := make(chan struct{})
		defer runclock.AfterFunc(scanTimeout, func() { close(over) }).Stop()
		select {
		case <-over:
			_ = s.sendMessage(work, late)
		case <-work.Done():
		}
	})
	return true
}

// dialKnown dials the node again if the dial waits for the keys of its sshd.
func (s *session) dialKnown(work context.Context) {
	if s.node.keys.refused != nil {
		s.dialNode(work)
	}
}

// parseKeys returns the keys of lines as in authorized_keys(5), or errNoHostKeys if there are none.
func parseKeys(lines []string) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	for _, l := range lines {
		// An unknown type of key must not exclude the other keys.
		if k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l)); err == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errNoHostKeys
	}
	return keys, nil
}
