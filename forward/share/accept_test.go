//go:build linux || darwin

package share

import (
	"net"
	"syscall"
	"testing"
)

// flaky is a listener whose first accepts fail.
type flaky struct {
	acceptor
	errs []error
}

func (f *flaky) AcceptUnix() (*net.UnixConn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: err}
	}
	return f.acceptor.AcceptUnix()
}

// serveFlaky is an owner of a place whose first accepts fail.
func serveFlaky(t *testing.T, errs ...error) (*site, *sharingProcess) {
	t.Helper()
	s := newSite(t, nil)
	if err := s.place.prepareDir(); err != nil {
		t.Fatal(err)
	}
	held, err := s.place.lockAndListen()
	if err != nil {
		t.Fatal(err)
	}
	o := newSharingProcess(s.place, held)
	o.tasks.Go(func() { o.acceptClients(held, &flaky{held.listener, errs}) })
	t.Cleanup(func() {
		o.endClients(errNobody)
		o.tasks.Wait()
	})
	return s, o
}

// TestAcceptSurvives: a lack of descriptors or memory passes, and others join the owner afterwards.
func TestAcceptSurvives(t *testing.T) {
	s, o := serveFlaky(t, syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM)
	conn, err := net.Dial("unix", s.place.socketPath())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s.waiting(t, o, 1)
}

// TestAcceptFails: an owner that can accept no more gives the place up, for another to take it.
func TestAcceptFails(t *testing.T) {
	s, o := serveFlaky(t, syscall.EINVAL)
	eventually(t, "the place is free", func() bool {
		held, err := s.place.lockAndListen()
		if err == nil {
			held.release()
		}
		return err == nil
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held != nil {
		t.Error("the owner believes that it has the place")
	}
}
