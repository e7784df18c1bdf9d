package forward

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What has waited in vain is told so in HTTP/1 if it speaks that, and sees an orderly
// end in any case: readAll fails on a reset.
func TestUnavailable(t *testing.T) {
	const tlsHello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 HTTP/1.1\r\n"
	for _, tt := range []struct {
		name   string
		sent   []string
		answer bool
	}{
		{"GET", []string{"GET /lab?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"}, true},
		{"HEAD", []string{"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"}, true},
		{"HTTP/1.0", []string{"GET / HTTP/1.0\r\n\r\n"}, true},
		{"other method", []string{"VERSION-CONTROL /a HTTP/1.1\r\n\r\n"}, true},
		{"line feed alone", []string{"GET / HTTP/1.1\n\n"}, true},
		{"expects 100", []string{"PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"}, true},
		{"websocket", []string{"GET /api/kernels/1/channels HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"}, true},
		{"no header yet", []string{"GET / HTTP/1.1\r\n"}, true},
		{"in pieces", []string{"GE", "T / HT", "TP/1.1\r", "\n"}, true},
		{"pipelined", []string{"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n"}, true},
		{"long upload", []string{"POST / HTTP/1.1\r\nContent-Length: 4194304\r\n\r\n" + strings.Repeat("x", 4<<20)}, true},
		{"longest line", []string{"GET /" + strings.Repeat("x", requestLineMax-100) + " HTTP/1.1\r\n\r\n"}, true},

		{"nothing", nil, false},
		{"half a line", []string{"GET / HTTP/1"}, false},
		{"too long a line", []string{"GET /" + strings.Repeat("x", requestLineMax+4<<10) + " HTTP/1.1\r\n\r\n"}, false},
		{"HTTP/0.9", []string{"GET /\r\n"}, false},
		{"HTTP/2", []string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}, false},
		{"later line", []string{"hello\r\nGET / HTTP/1.1\r\n"}, false},
		{"RTSP", []string{"OPTIONS * RTSP/1.0\r\n\r\n"}, false},
		{"TLS", []string{tlsHello}, false},
		{"SSH", []string{"SSH-2.0-OpenSSH_9.2\r\n"}, false},
		{"no target", []string{"GET HTTP/1.1\r\n"}, false},
		{"two spaces", []string{"GET  HTTP/1.1\r\n"}, false},
		{"binary", []string{"\x00\x01\x02\n"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := start(t, nil, func(l *Listener) { l.Hold = 20 * time.Millisecond })
			c := dial(t, l)
			if err := c.SetNoDelay(true); err != nil {
				t.Fatal(err)
			}
			for _, s := range tt.sent {
				write(t, c, s)
			}
			got := readAll(t, c)
			if !tt.answer {
				if got != "" {
					t.Errorf("got %q", got)
				}
				return
			}
			method, _, _ := strings.Cut(strings.Join(tt.sent, ""), " ")
			checkUnavailable(t, method, got)
		})
	}
}

func checkUnavailable(t *testing.T, method, got string) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(got))
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%v: %q", err, got)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	want := Unavailable + "\n"
	if method == http.MethodHead {
		want = ""
	}
	if resp.StatusCode != http.StatusServiceUnavailable || !resp.Close || resp.ContentLength != int64(len(Unavailable)+1) || string(body) != want {
		t.Errorf("got %q", got)
	}
	for name, value := range map[string]string{
		"Retry-After": strconv.Itoa(int(retryAfter.Seconds())), "Cache-Control": "no-store", "Content-Type": "text/plain; charset=utf-8",
	} {
		if resp.Header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, resp.Header.Get(name), value)
		}
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("after the answer comes %q", rest)
	}
}

// A client whose wait was not in vain loses nothing of what it has sent meanwhile, its end
// included.
func TestHeldBytesReachTheTarget(t *testing.T) {
	got := make(chan string, 1)
	l, _ := start(t, nil)
	c := dial(t, l)
	const sent = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
	write(t, c, sent)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it waits", func() bool { return l.Stats().Held == 1 })
	l.SetTarget(testServer(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		got <- string(b)
	}))
	if s := <-got; s != sent {
		t.Errorf("got %q", s)
	}
}

// The end of the session is not that of the wait: nothing is answered.
func TestEndWhileTurnedAway(t *testing.T) {
	observed := make(chan error, 1)
	l, stop := start(t, nil, func(l *Listener) {
		l.Hold = time.Millisecond
		l.Observe = func(err error) { observed <- err }
	})
	c := dial(t, l)
	write(t, c, "GET / HT")
	if err := <-observed; err == nil { // now the rest of the line is waited for
		t.Error("nothing observed")
	}
	stop()
	if got, err := io.ReadAll(c); len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

// held has a listener serve one end of a pipe, and gives the other.
func held(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	far, near := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.serveConn(t.Context(), near)
	}()
	t.Cleanup(func() {
		_ = far.Close()
		<-done
	})
	return far
}

func newHeld() *Listener { return &Listener{Hold: DefaultHold, now: time.Now} }

// answerOf sends a request and gives the answer, and after how long it came.
func answerOf(t *testing.T, c net.Conn) (string, time.Duration) {
	t.Helper()
	began := time.Now()
	go func() { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\n\r\n") }()
	b := make([]byte, 1000)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), time.Since(began)
}

// The wait is a minute, whether there is no target or one that does not answer: the
// network has fallen silent.
func TestHoldIsAMinute(t *testing.T) {
	silent := func(ctx context.Context) (net.Conn, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	for name, target := range map[string]Target{"no target": nil, "silent target": silent} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHeld()
				l.SetTarget(target)
				got, waited := answerOf(t, held(t, l))
				checkUnavailable(t, http.MethodGet, got)
				if waited != time.Minute {
					t.Errorf("after %v", waited)
				}
			})
		})
	}
}

// A second before the minute is over, another target is set beside one that is silent: it
// gets the connection at once.
func TestSilentTargetIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHeld()
		l.SetTarget(func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		time.AfterFunc(59*time.Second, func() {
			l.SetTarget(func(context.Context) (net.Conn, error) {
				far, near := net.Pipe()
				go func() { _, _ = io.Copy(far, far) }()
				return near, nil
			})
		})
		got, waited := answerOf(t, held(t, l))
		if got != "GET / HTTP/1.1\r\n\r\n" || waited != 59*time.Second {
			t.Errorf("got %q after %v", got, waited)
		}
	})
}
