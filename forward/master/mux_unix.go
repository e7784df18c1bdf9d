//go:build linux || darwin

package master

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/alps-tunnel/cscs/internal/peer"
)

// Messages and limits of OpenSSH's control socket (PROTOCOL.mux).
const (
	msgHello       = 0x00000001
	muxNewSession  = 0x10000002
	muxNewForward  = 0x10000008
	muxFailure     = 0x80000003
	muxExitMessage = 0x80000004
	muxOpened      = 0x80000006

	muxVersion     = 4
	noEscape       = 0xffffffff // no escape character
	longestMessage = 256 << 10
)

// A refusedError is the refusal of a request by the ssh with the socket, or by its server.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

// A request is one use of the control socket: a command or a connection.
type request struct {
	control *net.UnixConn
	in      *os.File // the other side reads what is written here
	out     []*os.File
	once    sync.Once
}

func (r *request) close() {
	r.once.Do(func() {
		_ = r.control.Close()
		_ = r.in.Close()
		for _, f := range r.out {
			_ = f.Close()
		}
	})
}

// dialMux connects to the control socket of an ssh of this user and exchanges hello messages.
func dialMux(ctx context.Context, socket string) (*net.UnixConn, error) {
	conn, err := peer.DialSocket(ctx, socket)
	if err != nil {
		return nil, err
	}
	control, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return nil, errors.New("no unix socket")
	}
	stop := context.AfterFunc(ctx, func() { _ = control.Close() })
	defer stop()
	err = sendMessage(control, encodeNumbers(msgHello, muxVersion))
	if err == nil {
		var body []byte
		if body, err = receiveMessage(control, msgHello); err == nil && firstNumber(body) != muxVersion {
			err = fmt.Errorf("its protocol has version %d", firstNumber(body))
		}
	}
	if err != nil {
		_ = control.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return control, nil
}

// openRequest sends a request with one input and some outputs, and waits for the answer.
func openRequest(ctx context.Context, socket string, message []byte, outputs int) (*request, error) {
	control, err := dialMux(ctx, socket)
	if err != nil {
		return nil, err
	}
	r := &request{control: control}
	stop := context.AfterFunc(ctx, func() { _ = control.Close() })
	defer stop()
	theirs, in, err := os.Pipe()
	if err != nil {
		_ = control.Close()
		return nil, err
	}
	r.in = in
	files := []*os.File{theirs}
	defer func() {
		for _, f := range files {
			_ = f.Close() // the other side has its own copy
		}
	}()
	for range outputs {
		ours, theirs, err := os.Pipe()
		if err != nil {
			r.close()
			return nil, err
		}
		r.out, files = append(r.out, ours), append(files, theirs)
	}
	err = sendMessage(control, message)
	for _, f := range files {
		if err == nil {
			_, _, err = control.WriteMsgUnix([]byte{0}, syscall.UnixRights(int(f.Fd())), nil)
		}
	}
	if err == nil {
		_, err = receiveMessage(control, muxOpened)
	}
	if err != nil {
		r.close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return r, nil
}

// newSession returns the request for a command.
func newSession(command string) []byte { return sessionRequest(command, 0) }

// newSubsystem returns the request for a subsystem.
func newSubsystem(name string) []byte { return sessionRequest(name, 1) }

func sessionRequest(command string, subsystem uint32) []byte {
	b := append(encodeNumbers(muxNewSession, 1), encodeString("")...)
	b = append(b, encodeNumbers(0, 0, 0, subsystem, noEscape)...) // no terminal, X11, agent
	b = append(b, encodeString("")...)
	return append(b, encodeString(command)...)
}

// newForward returns the request for a connection from the server to host and port.
func newForward(host string, port uint32) []byte {
	b := append(encodeNumbers(muxNewForward, 1), encodeString("")...)
	b = append(b, encodeString(host)...)
	return append(b, encodeNumbers(port)...)
}

func encodeNumbers(all ...uint32) (b []byte) {
	for _, n := range all {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

func encodeString(s string) []byte { return append(encodeNumbers(uint32(len(s))), s...) }

// firstNumber returns the first number of a message, or 0 if the message is too short.
func firstNumber(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func sendMessage(w io.Writer, message []byte) error {
	_, err := w.Write(append(encodeNumbers(uint32(len(message))), message...))
	return err
}

// receiveMessage reads a message and returns its body after the type, which must be want. A failure
// message is a *refusedError.
func receiveMessage(r io.Reader, want uint32) ([]byte, error) {
	var length uint32
	if err := binary.Read(r, binary.BigEndian, &length); err != nil {
		return nil, err
	}
	if length < 4 || length > longestMessage {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	switch kind := firstNumber(body); {
	case kind == want:
		return body[4:], nil
	case kind == muxFailure && len(body) >= 12:
		return nil, &refusedError{reason: string(body[12:])}
	default:
		return nil, fmt.Errorf("a message of type %#x", kind)
	}
}
