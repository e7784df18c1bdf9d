package forward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestThousandConnections(t *testing.T) {
	const n = 1000
	l, stop := start(t, testServer(t, echo))
	var open, all sync.WaitGroup
	open.Add(n)
	errs := make(chan error, n)
	for i := range n {
		all.Go(func() {
			errs <- func() error {
				network, host := "tcp4", "127.0.0.1"
				if i%2 == 1 {
					network, host = "tcp6", "::1"
				}
				c, err := net.DialTimeout(network, joinHostPort(host, l.Port()), patience)
				if err != nil {
					open.Done()
					return err
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				msg := fmt.Sprintf("message %06d", i)
				_, err = io.WriteString(c, msg)
				b := make([]byte, len(msg))
				if err == nil {
					_, err = io.ReadFull(c, b)
				}
				// Each keeps its connection until all have theirs.
				open.Done()
				open.Wait()
				if err == nil && string(b) != msg {
					err = fmt.Errorf("sent %q, got %q", msg, b)
				}
				return err
			}()
		})
	}
	open.Wait()
	if s := l.Stats(); s.Total != n {
		t.Errorf("%d connections, want %d", s.Total, n)
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if s := l.Stats(); s.Total != n || s.Failed != 0 || s.Sent != s.Received {
		t.Errorf("%+v", s)
	}
}

func TestEndClosesHeldAndOpen(t *testing.T) {
	l, stop := start(t, testServer(t, echo))
	open := dial(t, l)
	write(t, open, "x")
	readN(t, open, 1)
	l.SetTarget(nil)
	held := dial(t, l)
	eventually(t, "it waits", func() bool { return l.Stats().Held == 1 })
	stop()
	if got := readAll(t, held); got != "" {
		t.Errorf("the one that waited got %q", got)
	}
	if _, err := open.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the open one: %v, want a reset", err)
	}
	if _, err := net.Dial("tcp4", joinHostPort("127.0.0.1", l.Port())); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new one: %v, want it refused", err)
	}
}

func TestCloseEndsServe(t *testing.T) {
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	l.SetTarget(testServer(t, echo))
	served := make(chan error, 1)
	go func() { served <- l.Serve(t.Context()) }()
	c := dial(t, l)
	write(t, c, "x")
	readN(t, c, 1)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := l.Serve(t.Context()); !errors.Is(err, errServed) {
		t.Errorf("a second Serve: %v", err)
	}
}
