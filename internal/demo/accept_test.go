package demo

import (
	"bufio"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
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

// TestAcceptSurvives: a lack of descriptors or memory passes, and visitors come in afterwards.
func TestAcceptSurvives(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{listener: &flaky{l, []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}}, visitors: map[net.Conn]bool{}, kept: true}
	var receiving sync.WaitGroup
	receiving.Go(d.acceptVisitors)
	defer receiving.Wait()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	end := testEnd(t, l)
	defer end()
	if word, err := bufio.NewReader(conn).ReadString('\n'); err != nil || word != greetingLine() {
		t.Errorf("%q, %v", word, err)
	}
}

// testEnd closes a listener at the end of a test, or when the test takes too long.
func testEnd(t *testing.T, l net.Listener) (end func()) {
	t.Helper()
	late := time.AfterFunc(10*time.Second, func() { _ = l.Close() })
	return func() {
		late.Stop()
		_ = l.Close()
	}
}
