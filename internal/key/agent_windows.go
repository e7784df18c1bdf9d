package key

import (
	"context"
	"net"

	"github.com/Microsoft/go-winio"
)

// defaultAgent is the pipe of OpenSSH for Windows, whose agent is a service of the system.
const defaultAgent Agent = `\\.\pipe\openssh-ssh-agent`

func dialAgent(ctx context.Context, pipe string) (net.Conn, error) {
	return winio.DialPipeContext(ctx, pipe)
}
