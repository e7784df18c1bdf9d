package share

import (
	"context"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
)

// A spare is a session channel that the sharing process opened before a client asks for one, so the
// client's command saves a round trip. It counts for sshd's MaxSessions, and the next command gets
// it.
type spare struct {
	ch   ssh.Channel
	reqs <-chan *ssh.Request
}

// keepSpare keeps a spare ready until the chain ends, or the host refuses or closes one. While a
// spare waits, keepSpare answers the host's requests in it (ClientAliveInterval).
func (o *sharingProcess) keepSpare(c *chain.Chain) {
	for {
		ch, reqs, err := c.OpenChannel(context.Background(), "session", nil) // returns an error when the chain ends
		if err != nil {
			return
		}
		for taken := false; !taken; {
			select {
			case o.spares <- spare{ch, reqs}:
				taken = true
			case req, ok := <-reqs:
				if !ok {
					_ = ch.Close()
					return
				}
				_ = req.Reply(false, nil)
			}
		}
	}
}

// openChannel opens the channel that the client requests, or takes the spare.
func (s *client) openChannel(asked ssh.NewChannel) (ssh.Channel, <-chan *ssh.Request, error) {
	if asked.ChannelType() == "session" && len(asked.ExtraData()) == 0 {
		select {
		case spare := <-s.sharing.spares:
			return spare.ch, spare.reqs, nil
		default:
		}
	}
	return s.chain.OpenChannel(s.ctx, asked.ChannelType(), asked.ExtraData())
}
