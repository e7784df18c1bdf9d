package chain

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// AskFunc puts a question to someone and returns whether they said yes. It must
// come back when ctx ends. An error means that nobody could be asked.
type AskFunc func(ctx context.Context, q Question) (bool, error)

// Question is whether a key is an unknown host's. Its String is what ssh would
// ask, and Answer understands what ssh would.
type Question struct {
	Host        string   // as known_hosts names it
	Remote      net.Addr // where it answers
	KeyType     string   // "ED25519"
	Fingerprint string   // "SHA256:…"
	Known       []string // where the same key is known for other names: "file:line: names"
	File        string   // where a yes is written; "": nowhere
	Line        string   // and what
}

func (q Question) String() string {
	var b strings.Builder
	host := q.Host
	if q.Remote != nil {
		if addr, _, err := net.SplitHostPort(q.Remote.String()); err == nil && addr != bareHost(q.Host) {
			host += " (" + addr + ")"
		}
	}
	fmt.Fprintf(&b, "The authenticity of host '%s' can't be established.\n", host)
	fmt.Fprintf(&b, "%s key fingerprint is %s.\n", q.KeyType, q.Fingerprint)
	if len(q.Known) == 0 {
		b.WriteString("This key is not known by any other names.\n")
	} else {
		b.WriteString("This host key is known by the following other names/addresses:\n")
		for _, known := range q.Known {
			fmt.Fprintf(&b, "    %s\n", known)
		}
	}
	b.WriteString("Are you sure you want to continue connecting (yes/no/[fingerprint])? ")
	return b.String()
}

// AskAgain is what to say after an answer that was not understood.
const AskAgain = "Please type 'yes', 'no' or the fingerprint: "

// Answer reads an answer: yes, no, or the fingerprint, which is a yes. Another fingerprint than
// the host's is not understood, nor is nothing.
func (q Question) Answer(text string) (yes, understood bool) {
	switch text = strings.TrimSpace(text); {
	case strings.EqualFold(text, "no"):
		return false, true
	case strings.EqualFold(text, "yes") || text == q.Fingerprint:
		return true, true
	}
	return false, false
}

// A Challenge is what a hop asks the user. Its texts are the server's, made printable: no escape
// sequence is in them.
type Challenge struct {
	Hop, User         string
	Name, Instruction string // may be empty, and have several lines
	Prompts           []Prompt
}

// A Prompt is one question of a Challenge.
type Prompt struct {
	Text string
	Echo bool // the answer may be seen
}
