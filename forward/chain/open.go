package chain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/crypto/ssh"
)

// DialContext opens a connection from the last hop to addr: a host and port on "tcp" (RFC 4254,
// section 7.2), or the path of a socket there on "unix" (OpenSSH's PROTOCOL, section 2.4). The
// connection has CloseWrite and deadlines. If ctx ends first, DialContext returns its cause and
// leaves nothing open. Later ctx does not affect the connection.
//
// Errors: *OpenError if the hop refused, *LostError if the SSH connection is lost.
func (c *Chain) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return c.lastSSHConn().dialAddr(ctx, network, addr)
}

func (l *sshConn) dialAddr(ctx context.Context, network, addr string) (net.Conn, error) {
	kind, payload, err := openRequest(network, addr)
	if err != nil {
		return nil, err
	}
	ch, reqs, err := l.openChannel(ctx, kind, payload)
	if err != nil {
		return nil, l.openError(ctx, addr, err)
	}
	conn, err := newConn(l, ch, reqs, hopAddr{network, addr})
	if err != nil {
		return nil, l.lostErrorOr(err)
	}
	return conn, nil
}

// openError converts an error of openChannel to one that DialContext documents.
func (l *sshConn) openError(ctx context.Context, addr string, err error) error {
	var refused *ssh.OpenChannelError
	switch {
	case errors.As(err, &refused):
		return &OpenError{
			Hop: l.hop, Addr: addr, Reason: refused.Reason.String(),
			Message: sanitizeText(refused.Message), Err: err,
		}
	case ctx.Err() != nil:
		return fmt.Errorf("open %s from %s: %w", addr, l.hop, context.Cause(ctx))
	}
	return l.lostErrorOr(fmt.Errorf("open %s from %s: %w", addr, l.hop, err))
}

// openRequest returns the type and the data of the channel to addr.
func openRequest(network, addr string) (kind string, payload []byte, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
		host, service, err := net.SplitHostPort(addr)
		if err != nil {
			return "", nil, fmt.Errorf("open %q: %w", addr, err)
		}
		port, err := strconv.ParseUint(service, 10, 16)
		if err != nil {
			return "", nil, fmt.Errorf("open %q: port: %w", addr, err)
		}
		return "direct-tcpip", ssh.Marshal(struct {
			Host       string
			Port       uint32
			Originator string
			From       uint32
		}{host, uint32(port), "127.0.0.1", 0}), nil
	case "unix":
		return "direct-streamlocal@openssh.com", ssh.Marshal(struct {
			Path      string
			Reserved  string
			Reserved2 uint32
		}{Path: addr}), nil
	}
	return "", nil, fmt.Errorf("open %q: unsupported network %q", addr, network)
}

// hopAddr is an address from the view of a hop.
type hopAddr struct{ network, addr string }

func (a hopAddr) Network() string { return a.network }
func (a hopAddr) String() string  { return a.addr }
