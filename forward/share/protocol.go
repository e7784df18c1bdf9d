package share

import (
	"errors"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// The socket carries the SSH connection protocol (RFC 4254), in the framing of OpenSSH's control
// socket in proxy mode, and these global requests.
const (
	joinRequest    = "join@cscs"    // to the sharing process: asks to join; answered within a second
	movedRequest   = "moved@cscs"   // to the sharing process: this process has another chain
	silenceRequest = "silence@cscs" // from the sharing process: a hop is silent, or answers again
	leavingRequest = "leaving@cscs" // from the sharing process: dial another chain
	pausingRequest = "pausing@cscs" // from the sharing process: dial another chain if you can
	lostRequest    = "lost@cscs"    // from the sharing process: why the chain has ended; the last message
)

const protocolVersion = 2

type joinMessage struct{ Version uint32 }

// verdictMessage says why a process may not join.
type verdictMessage struct{ Verdict string }

const (
	verdictWait    = "wait"    // the dial is in progress: ask again
	verdictAgain   = "again"   // the rendezvous is free, or will be: try to become the sharing process
	verdictAsking  = "asking"  // the dial waits for a person, which may take long
	verdictVersion = "version" // the sharing process has another version of the protocol
)

type silenceMessage struct {
	Hop    string
	Silent bool
}

type lostMessage struct {
	Hop     string
	Silence uint64 // in nanoseconds
	Reason  string
}

// lostOf returns the message that tells a client why the sharing process's chain has ended.
func lostOf(err error, host string) lostMessage {
	var lost *chain.LostError
	if !errors.As(err, &lost) {
		return lostMessage{Hop: host, Reason: errSharingProcessEnded.Error()}
	}
	m := lostMessage{Hop: lost.Hop, Silence: uint64(lost.Silence)}
	if lost.Err != nil {
		m.Reason = lost.Err.Error()
	}
	return m
}

func (m lostMessage) lostError() error {
	return &chain.LostError{Hop: m.Hop, Silence: time.Duration(m.Silence), Err: errors.New(m.Reason)}
}

var errSharingProcessEnded = errors.New("the session that it was shared with has ended")
