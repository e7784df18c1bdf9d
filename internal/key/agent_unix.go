//go:build unix

package key

import (
	"context"
	"net"
)

// Without SSH_AUTH_SOCK there is no agent.
const defaultAgent agentAddr = ""

func dialAgent(ctx context.Context, socket string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", socket)
}
