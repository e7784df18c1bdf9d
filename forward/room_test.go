package forward

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A fakeRoom takes what begins with "room", and answers with all that it gets.
type fakeRoom struct {
	expects atomic.Int64 // as Expects, in nanoseconds since 1970
	judged  atomic.Int64
	leads   atomic.Bool
	vouches atomic.Bool
	asked   chan struct{} // has a value once the room was asked to vouch
	took    chan string
}

func newFakeRoom() *fakeRoom {
	return &fakeRoom{asked: make(chan struct{}, 1), took: make(chan string, 10)}
}

func (r *fakeRoom) Judge(began []byte) Verdict {
	r.judged.Add(1)
	want := []byte("room")
	switch {
	case !bytes.HasPrefix(began, want[:min(len(want), len(began))]):
		return Yours
	case len(began) < len(want):
		return Undecided
	}
	return Mine
}

func (r *fakeRoom) Take(c net.Conn) {
	go func() {
		defer c.Close()
		b, _ := io.ReadAll(c)
		_, _ = io.WriteString(c, "taken: "+string(b))
		r.took <- string(b)
	}()
}

func (r *fakeRoom) Leads(there bool) { r.leads.Store(there) }

func (r *fakeRoom) Expects() time.Time { return time.Unix(0, r.expects.Load()) }

func (r *fakeRoom) Absent() string { return "The room says why." }

func (r *fakeRoom) Diverts(began []byte) bool { return bytes.HasPrefix(began, []byte("divert")) }

func (r *fakeRoom) Vouch(net.Conn) bool {
	select {
	case r.asked <- struct{}{}:
	default:
	}
	return r.vouches.Load()
}

func withRoom(r Room) func(*Listener) { return func(l *Listener) { l.Room = r } }

// The room answers its own while there is no target; all else gets there whole, whatever of
// it was read.
func TestRoom(t *testing.T) {
	r := newFakeRoom()
	l, _ := start(t, nil, withRoom(r))
	big := "roo " + strings.Repeat("x", 3*judgeMax)
	sent := map[string]string{"mine": "room, and more", "other": "hello", "begun alike": "roo", "large": big, "nothing": ""}
	conns := map[string]*net.TCPConn{}
	written := make(chan error, 1)
	for name, s := range sent {
		c := dial(t, l)
		conns[name] = c
		switch name {
		case "nothing", "begun alike":
			write(t, c, s)
		case "large": // which nobody takes yet
			go func() {
				_, err := io.WriteString(c, s)
				_ = c.CloseWrite()
				written <- err
			}()
		default:
			write(t, c, s)
			_ = c.CloseWrite()
		}
	}
	if got := readAll(t, conns["mine"]); got != "taken: room, and more" {
		t.Errorf("the room's own: %q", got)
	}
	<-r.took
	if s := l.Stats(); s.Open != 0 {
		t.Errorf("%d are carried, with no target", s.Open)
	}
	l.SetTarget(testServer(t, echo))
	if !r.leads.Load() {
		t.Error("the room does not know of the target")
	}
	// These two say the rest when there is a target already.
	write(t, conns["begun alike"], "f")
	write(t, conns["nothing"], "hi")
	for _, name := range []string{"begun alike", "nothing"} {
		if err := conns[name].CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"other": "hello", "begun alike": "roof", "large": big, "nothing": "hi"} {
		if got := readAll(t, conns[name]); got != want {
			t.Errorf("%s: got %d bytes, want %d", name, len(got), len(want))
		}
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if n := l.Stats().Held; n != 0 {
		t.Errorf("%d wait still", n)
	}
}

// A connection that waited for a target that fell silent meets the room when that target is given up:
// what it sent meanwhile is not held until Hold is over.
func TestRoomAfterASilentTarget(t *testing.T) {
	r := newFakeRoom()
	asked := make(chan struct{}, 2)
	silent := func(ctx context.Context) (net.Conn, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	l, _ := start(t, silent, withRoom(r))
	mine, other := dial(t, l), dial(t, l)
	write(t, mine, "room, and more")
	write(t, other, "hello")
	_, _ = mine.CloseWrite(), other.CloseWrite()
	<-asked
	<-asked
	l.SetTarget(nil)
	if got := readAll(t, mine); got != "taken: room, and more" {
		t.Errorf("the room's own: %q", got)
	}
	l.SetTarget(testServer(t, echo))
	if got := readAll(t, other); got != "hello" {
		t.Errorf("the server's: %q", got)
	}
}

// TestGuardedLate: a browser opens a connection in stock, and asks over it when the target is gone. That is the
// room's, whether the target was away from the beginning or fell silent first.
func TestGuardedLate(t *testing.T) {
	for _, silent := range []bool{false, true} {
		r := newFakeRoom()
		r.vouches.Store(true)
		asked := make(chan struct{}, 1)
		var target Target
		if silent {
			target = func(ctx context.Context) (net.Conn, error) {
				asked <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}
		l, _ := start(t, target, withRoom(r), func(l *Listener) { l.Guarded = true })
		c := dial(t, l)
		if silent {
			<-asked // it says nothing, and so it is carried
			l.SetTarget(nil)
		} else {
			waittest.Receive(t, patience, "the client is silent for too long", r.asked)
		}
		write(t, c, "room, and more")
		_ = c.CloseWrite()
		if got := readAll(t, c); got != "taken: room, and more" {
			t.Errorf("silent target %v: got %q", silent, got)
		}
	}
}

// With a target and nothing expected, nothing is read of a connection; a server that
// speaks first is heard.
func TestRoomIsNotAskedWhenThereIsATarget(t *testing.T) {
	r := newFakeRoom()
	l, _ := start(t, testServer(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "220 hello"); echo(c) }), withRoom(r))
	c := dial(t, l)
	if got := readN(t, c, 9); got != "220 hello" {
		t.Errorf("got %q", got)
	}
	write(t, c, "room")
	if got := readN(t, c, 4); got != "room" {
		t.Errorf("got %q", got)
	}
	if n := r.judged.Load(); n != 0 {
		t.Errorf("judged %d times", n)
	}
}

// Who has got an answer of the room's gets the rest of it there, too, and others lose nothing.
func TestRoomExpects(t *testing.T) {
	r := newFakeRoom()
	l, _ := start(t, testServer(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "220 hello"); echo(c) }), withRoom(r))
	r.expects.Store(time.Now().Add(patience).UnixNano())
	mine, other := dial(t, l), dial(t, l)
	write(t, mine, "room")
	write(t, other, "hi")
	_, _ = mine.CloseWrite(), other.CloseWrite()
	if got := readAll(t, mine); got != "taken: room" {
		t.Errorf("got %q", got)
	}
	if got := readAll(t, other); got != "220 hellohi" {
		t.Errorf("got %q", got)
	}
	// One that says nothing is not kept for longer than that.
	r.expects.Store(time.Now().Add(50 * time.Millisecond).UnixNano())
	if got := readN(t, dial(t, l), 9); got != "220 hello" {
		t.Errorf("got %q", got)
	}
}

// What the room does not want waits as long as ever, and is told what the room says.
func TestRoomAndUnavailable(t *testing.T) {
	r := newFakeRoom()
	l, _ := start(t, nil, withRoom(r), func(l *Listener) { l.Hold = 20 * time.Millisecond })
	c := dial(t, l)
	write(t, c, "GET / HTTP/1.1\r\n\r\n")
	if got := readAll(t, c); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.HasSuffix(got, "\r\n\r\nThe room says why.\n") {
		t.Errorf("got %q", got)
	}
	if got := readAll(t, dial(t, l)); got != "" {
		t.Errorf("one that says nothing gets %q", got)
	}
}

// The end of the listener ends what waits to be judged.
func TestRoomAndTheEnd(t *testing.T) {
	r := newFakeRoom()
	l, stop := start(t, nil, withRoom(r))
	c := dial(t, l)
	write(t, c, "ro")
	eventually(t, "it is judged", func() bool { return r.judged.Load() > 0 })
	stop()
	_ = readAll(t, c)
}

// Of a guarded port the room answers its own, and the rest is carried if it vouches for it, whole.
func TestGuarded(t *testing.T) {
	r := newFakeRoom()
	l, stop := start(t, nil, withRoom(r), func(l *Listener) { l.Guarded = true })
	c := dial(t, l)
	write(t, c, "room, anything")
	_ = c.CloseWrite()
	if got := readAll(t, c); got != "taken: room, anything" {
		t.Errorf("got %q", got)
	}
	c = dial(t, l)
	write(t, c, "other")
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("not vouched for: %d, %v", n, err)
	}
	r.vouches.Store(true)
	c = dial(t, l)
	write(t, c, "other")
	_ = c.CloseWrite()
	eventually(t, "it waits for a target", func() bool { return l.Stats().Held == 1 })
	l.SetTarget(testServer(t, echo))
	if got := readAll(t, c); got != "other" {
		t.Errorf("vouched for: got %q", got)
	}
	before := l.Stats()
	l.SetTarget(nil)
	got := make(chan error, 1)
	go func() {
		remote, err := l.Dial(t.Context())
		if err == nil {
			_, err = io.WriteString(remote, "12345")
			_ = closeWrite(remote)
			if b, _ := io.ReadAll(remote); string(b) != "12345" {
				t.Errorf("got %q", b)
			}
			remote.Close()
		}
		got <- err
	}()
	eventually(t, "it waits for a target", func() bool { return l.Stats().Held == 1 })
	l.SetTarget(testServer(t, echo))
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Sent-before.Sent != 5 || s.Received-before.Received != 5 || s.Open != 0 {
		t.Errorf("counted %+v", s)
	}
	l.SetTarget(nil)
	go func() {
		_, err := l.Dial(context.WithoutCancel(t.Context()))
		got <- err
	}()
	eventually(t, "it waits again", func() bool { return l.Stats().Held == 1 })
	stop()
	if err := <-got; err == nil {
		t.Error("dialled though the port is closed")
	}
}

// A browser asks for its next page over a connection that it has already. When the way has gone
// silent, with nothing that fails, that page is the room's; what the room does not want goes the
// way that it was going.
func TestRoomTurn(t *testing.T) {
	r := newFakeRoom()
	gone := make(chan struct{}, 2)
	target := testServer(t, func(c *net.TCPConn) { echo(c); gone <- struct{}{} })
	l, _ := start(t, target, withRoom(r))
	mine, other := dial(t, l), dial(t, l)
	for _, c := range []*net.TCPConn{mine, other} {
		write(t, c, "room") // there is a target: nobody looks
		if got := readN(t, c, 4); got != "room" {
			t.Fatalf("got %q", got)
		}
	}
	l.SetTarget(nil)
	write(t, mine, "room, please")
	_ = mine.CloseWrite()
	if got := readAll(t, mine); got != "taken: room, please" {
		t.Errorf("got %q", got)
	}
	<-gone // the server's end is closed
	eventually(t, "one is carried", func() bool { return l.Stats().Open == 1 })
	write(t, other, "roo")
	if got := readN(t, other, 3); got != "roo" {
		t.Errorf("got %q", got)
	}
	l.SetTarget(target)
	write(t, other, "room")
	if got := readN(t, other, 4); got != "room" {
		t.Errorf("got %q", got)
	}
}

// The room may answer a request though there is a target: at the beginning of a connection, and after an
// answer. What is in the middle of something that the client sends is passed on.
func TestRoomDiverts(t *testing.T) {
	r := newFakeRoom()
	l, _ := start(t, testServer(t, echo), withRoom(r))
	c := dial(t, l)
	write(t, c, "divert me")
	_ = c.CloseWrite()
	if got := readAll(t, c); got != "taken: divert me" {
		t.Errorf("at first: %q", got)
	}
	c = dial(t, l)
	write(t, c, "hello")
	if got := readN(t, c, 5); got != "hello" {
		t.Errorf("got %q", got)
	}
	write(t, c, "divert me")
	_ = c.CloseWrite()
	if got := readAll(t, c); got != "taken: divert me" {
		t.Errorf("after an answer: %q", got)
	}

	silent := make(chan string, 1)
	l.SetTarget(testServer(t, func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		silent <- string(all)
	}))
	c = dial(t, l)
	write(t, c, "hello")
	eventually(t, "it has arrived", func() bool { return l.Stats().Sent >= 10 })
	write(t, c, "divert me")
	_ = c.CloseWrite()
	if got := <-silent; got != "hellodivert me" {
		t.Errorf("in the middle: %q", got)
	}
}
