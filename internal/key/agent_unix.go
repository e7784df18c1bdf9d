//go:build unix

package key

import (
	"context"
	"net"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// defaultAgent is empty: without SSH_AUTH_SOCK there is no agent.
const defaultAgent Agent = ""

// dialAgent connects to the agent. It refuses an agent of another user, except root, since Add may
// send it a private key.
func dialAgent(ctx context.Context, socket string) (net.Conn, error) {
	return peer.DialSocket(ctx, socket, peer.Root)
}
