package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

const maxPort = 65535

// pairAttempts is how many ports free on 127.0.0.1 bindLoopback tries, to find one free on ::1 too.
const pairAttempts = 64

// listenConfig returns the configuration of the listeners. TCP keepalive is off: a loopback
// connection cannot disappear, and keepalives would wake the laptop.
func listenConfig() *net.ListenConfig {
	return &net.ListenConfig{KeepAlive: -1, Control: setExclusiveUse}
}

// bindLoopback listens on port of 127.0.0.1 and of ::1, or of 127.0.0.1 alone if the machine has no
// ::1. Port 0 means any port that is free on both.
//
// A port that is free on 127.0.0.1 only counts as busy. Browsers try ::1 first for "localhost", so
// a foreign listener there would receive the user's token.
func bindLoopback(ctx context.Context, port int) ([]net.Listener, error) {
	if port < 0 || port > maxPort {
		return nil, fmt.Errorf("local port %d is not between 0 and %d", port, maxPort)
	}
	if port != 0 {
		return bindPair(ctx, port)
	}
	var ls []net.Listener
	var err error
	for range pairAttempts {
		if ls, err = bindPair(ctx, 0); !errors.As(err, new(*PortBusyError)) {
			break
		}
	}
	return ls, err
}

// bindPair listens on one port of both addresses. Port 0 means any port that is free on 127.0.0.1.
func bindPair(ctx context.Context, port int) ([]net.Listener, error) {
	if port != 0 {
		if err := probeLocalPort(ctx, port); err != nil {
			return nil, &PortBusyError{Port: port, Err: err}
		}
	}
	v4, err := listenConfig().Listen(ctx, "tcp4", joinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, bindError(port, err)
	}
	port = v4.Addr().(*net.TCPAddr).Port
	v6, err := listenConfig().Listen(ctx, "tcp6", joinHostPort("::1", port))
	switch {
	case err == nil:
		return []net.Listener{v4, v6}, nil
	case noSuchAddress(err):
		// No process can listen on ::1 either.
		return []net.Listener{v4}, nil
	default:
		_ = v4.Close()
		return nil, bindError(port, err)
	}
}

func joinHostPort(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}

func bindError(port int, err error) error {
	switch {
	case errors.Is(err, errInUse):
		return &PortBusyError{Port: port, Err: err}
	case errors.Is(err, errDenied):
		return &PortDeniedError{Port: port, Err: err}
	}
	return fmt.Errorf("listen on local port %d: %w", port, err)
}

// noSuchAddress reports whether err means that the machine has no ::1: the kernel has IPv6 switched
// off, or the loopback interface has no such address.
func noSuchAddress(err error) bool {
	return errors.Is(err, errNoAddress) || errors.Is(err, errNoFamily) || errors.Is(err, syscall.EPROTONOSUPPORT)
}
