//go:build linux || darwin

package share

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// A separateSocket is the path of a socket on which each connection is one channel of a chain. It is
// the alternative to share that docs/design/sharing.md rejects, with as little as BenchmarkCarriers
// needs: a request, an answer, then the bytes of a direct-tcpip channel with half-close. It cannot
// tell a killed process from the end of the data, nor Close from CloseWrite.
type separateSocket string

// openMessage requests a channel. refusedMessage answers it; its reason is 0 if the channel is open.
type (
	openMessage struct {
		Kind string
		Data []byte `ssh:"rest"`
	}
	refusedMessage struct {
		Reason uint32
		Text   string
	}
)

// serveSeparate serves the channels of c.
func serveSeparate(t testing.TB, c *chain.Chain) separateSocket {
	return separateSocket(sshtest.ServeUnix(t, func(conn net.Conn) {
		if peer.CheckSocket(conn.(*net.UnixConn)) != nil {
			return
		}
		if err := serveChannel(c, conn.(*net.UnixConn)); err != nil {
			t.Error(err)
		}
	}))
}

// serveChannel opens the channel that conn requests and copies both ways until both directions end.
func serveChannel(c *chain.Chain, conn *net.UnixConn) error {
	var open openMessage
	if err := readMessage(conn, &open); err != nil {
		return err
	}
	ch, reqs, err := c.OpenChannel(context.Background(), open.Kind, open.Data)
	var refused *ssh.OpenChannelError
	switch {
	case errors.As(err, &refused):
		return writeMessage(conn, refusedMessage{uint32(refused.Reason), refused.Message})
	case err != nil:
		return err
	}
	var requests, copies sync.WaitGroup
	requests.Go(func() { ssh.DiscardRequests(reqs) })
	defer requests.Wait()
	defer ch.Close()
	if err := writeMessage(conn, refusedMessage{}); err != nil {
		return err
	}
	copies.Go(func() {
		_ = copyOrDiscard(conn, ch, nil)
		_ = conn.CloseWrite()
	})
	copies.Go(func() {
		_ = copyOrDiscard(ch, conn, nil)
		_ = ch.CloseWrite()
	})
	copies.Wait()
	return nil
}

// DialContext opens a connection from the last hop to addr, over TCP.
func (path separateSocket) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	to, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn, err := peer.DialSocket(ctx, string(path))
	if err != nil {
		return nil, err
	}
	request := openMessage{"direct-tcpip", ssh.Marshal(struct {
		Host       string
		Port       uint32
		Originator string
		From       uint32
	}{to.IP.String(), uint32(to.Port), "127.0.0.1", 0})}
	var answer refusedMessage
	err = errors.Join(writeMessage(conn, request), readMessage(conn, &answer))
	if err == nil && answer.Reason != 0 {
		err = &ssh.OpenChannelError{Reason: ssh.RejectionReason(answer.Reason), Message: answer.Text}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// writeMessage writes the length of m and m.
func writeMessage(w io.Writer, m any) error {
	text := ssh.Marshal(m)
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}

// readMessage reads what writeMessage has written.
func readMessage(r io.Reader, m any) error {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return err
	}
	text := make([]byte, min(binary.BigEndian.Uint32(length[:]), 64<<10))
	if _, err := io.ReadFull(r, text); err != nil {
		return err
	}
	return ssh.Unmarshal(text, m)
}
