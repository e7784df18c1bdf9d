package share

import (
	"errors"
	"time"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// What passes over the socket is the SSH connection protocol (RFC 4254), in the framing of
// OpenSSH's control socket in proxy mode, and these global requests of our own.
const (
	joinRequest    = "join@cscs"    // to the owner: may I? With a reply, within a second
	movedRequest   = "moved@cscs"   // to the owner: I have another
	silenceRequest = "silence@cscs" // from the owner
	leavingRequest = "leaving@cscs" // from the owner: dial another
	pausingRequest = "pausing@cscs" // from the owner: dial another, if you can
	lostRequest    = "lost@cscs"    // from the owner: the last word
)

const protocolVersion = 2

type joinMessage struct{ Version uint32 }

// verdictMessage is why a process was not let in.
type verdictMessage struct{ Verdict string }

const (
	verdictWait    = "wait"    // the chain is being dialled still: ask again
	verdictAgain   = "again"   // the place is free, or will be
	verdictAsking  = "asking"  // it may be long until there is a chain
	verdictVersion = "version" // we speak differently
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

// lostOf is what a sharer is told of the end of the owner's chain.
func lostOf(err error, host string) lostMessage {
	var lost *chain.LostError
	if !errors.As(err, &lost) {
		return lostMessage{Hop: host, Reason: errMasterEnded.Error()}
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

var errMasterEnded = errors.New("the session that it was shared with has ended")
