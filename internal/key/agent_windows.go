package key

import (
	"context"
	"net"

	"github.com/Microsoft/go-winio"
)

// OpenSSH for Windows runs its agent as a service, which is always there.
const defaultAgent agentAddr = `\\.\pipe\openssh-ssh-agent`

func dialAgent(ctx context.Context, pipe string) (net.Conn, error) {
	return winio.DialPipeContext(ctx, pipe)
}
