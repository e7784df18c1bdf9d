package forward

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestStatsOfOne(t *testing.T) {
	l, stop := start(t, testServer(t, func(c *net.TCPConn) {
		readFull := make([]byte, 5)
		_, _ = io.ReadFull(c, readFull)
		_, _ = io.WriteString(c, "an answer")
	}))
	opened := l.Stats()
	if opened.LastActivity.IsZero() {
		t.Error("no activity, not even the listener's own")
	}
	c := dial(t, l)
	write(t, c, "query")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	readAll(t, c)
	stop()
	got := l.Stats()
	if !got.LastActivity.After(opened.LastActivity) {
		t.Errorf("last activity %v, not after %v", got.LastActivity, opened.LastActivity)
	}
	got.LastActivity = time.Time{}
	if want := (Stats{Total: 1, Sent: 5, Received: 9}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
