package forward

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
)

// flaky is a listener whose first accepts fail.
type flaky struct {
	net.Listener
	errs []error
}

func (f *flaky) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: err}
	}
	return f.Listener.Accept()
}

func TestAcceptSurvives(t *testing.T) {
	var observed atomic.Int64
	l, _ := start(t, testServer(t, echo), func(l *Listener) {
		l.ls[0] = &flaky{l.ls[0], []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM}}
		l.Observe = func(err error) {
			var accept *AcceptError
			if errors.As(err, &accept) {
				observed.Add(1)
			}
		}
	})
	c := dial(t, l)
	write(t, c, "x")
	readN(t, c, 1)
	if n := observed.Load(); n != 5 {
		t.Errorf("%d errors observed, want 5", n)
	}
}

func TestAcceptFails(t *testing.T) {
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	l.ls[1] = &flaky{l.ls[1], []error{syscall.EINVAL}}
	err = l.Serve(t.Context())
	var accept *AcceptError
	if !errors.As(err, &accept) || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Serve: %v, want an AcceptError", err)
	}
	// One address alone is none: the other's port is given back as well.
	again, err := Listen(l.Port())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
