package chain

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// AskFunc asks the user a question and reports whether the answer was yes. It must return when ctx
// ends. An error means that no user could be asked.
type AskFunc func(ctx context.Context, q Question) (bool, error)

// A Question asks whether a key belongs to an unknown host. String returns the text of ssh, and
// Answer accepts the answers that ssh accepts.
type Question struct {
	Host        string   // in the form of known_hosts
	Remote      net.Addr // its network address
	KeyType     string   // "ED25519"
	Fingerprint string   // "SHA256:…"
	Known       []string // other names of the same key: "file:line: names"
	File        string   // where a yes is written; "" if nowhere
	Line        string   // the line to be written
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

// AskAgain is the prompt after an answer that was not understood.
const AskAgain = "Please type 'yes', 'no' or the fingerprint: "

// Answer parses an answer: yes, no, or the fingerprint, which means yes. An empty answer or another
// fingerprint is not understood.
func (q Question) Answer(text string) (yes, understood bool) {
	switch text = strings.TrimSpace(text); {
	case strings.EqualFold(text, "no"):
		return false, true
	case strings.EqualFold(text, "yes") || text == q.Fingerprint:
		return true, true
	}
	return false, false
}

// A Challenge is a request of a hop to the user. Its texts come from the server and are made
// printable, without escape sequences.
type Challenge struct {
	Hop, User         string
	Name, Instruction string // may be empty or have several lines
	Prompts           []Prompt
}

// A Prompt is one question of a Challenge.
type Prompt struct {
	Text string
	Echo bool // the terminal may show the answer
}
