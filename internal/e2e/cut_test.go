//go:build lab

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// returnLimit is how long after the network's return the URL of each session answers, on a machine that has other work.
// TCP alone would take as long again as some of the cuts.
const returnLimit = 4 * time.Second

// replaceRest is the least age of a connection that another one replaces before it has been silent for 15 s
// (docs/design/chain.md, Stalls).
const replaceRest = 20 * time.Second

// TestCutReturns: after a cut, each session answers at once, and a cut costs one more login at most. TCP sends again
// what was lost at pauses that double, so soon after each of these lengths the next pause is as long as all before.
func TestCutReturns(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			begin(t)
			var sessions []*session
			for range n {
				sessions = append(sessions, serve(t, nil))
			}
			var urls []string
			for _, s := range sessions {
				urls = append(urls, s.ready().URL)
			}
			for _, length := range []time.Duration{2 * time.Second, 7 * time.Second, 20 * time.Second} {
				t.Run(length.String(), func(t *testing.T) {
					oneLogin(t)
					waittest.SpendRealTime(replaceRest) // the age of the connection
					before := accepted(t)
					for i, took := range returns(t, urls, length) {
						t.Logf("session %d answered %v after the network's return", i+1, took.Round(time.Millisecond))
						if took > returnLimit {
							t.Errorf("that is more than %v", returnLimit)
						}
					}
					if n := accepted(t) - before; n > 1 {
						t.Errorf("%d logins for one cut", n)
					}
				})
			}
			oneLogin(t)
			for _, s := range sessions {
				closeReady(t, s)
			}
		})
	}
}

// TestCutKeepsConnections: a browser's idle connection, a websocket and a download go on after a cut, and a new connection
// answers at once.
func TestCutKeepsConnections(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	base := s.ready().URL
	browser := lab.Client("laptop")
	ask := func() error {
		resp, err := browser.Get(base)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return err
	}
	if err := ask(); err != nil { // and keeps the connection
		t.Fatal(err)
	}
	socket, lines := upgrade(t, base)
	echoes(t, socket, lines)
	download, err := onLaptop.Get(base + "count")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = download.Body.Close() }()
	flow := bufio.NewReader(download.Body)
	if _, err := flow.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	waittest.SpendRealTime(replaceRest) // the age of the connection
	for i, took := range returns(t, []string{base}, 7*time.Second) {
		t.Logf("session %d answered %v after the network's return", i+1, took.Round(time.Millisecond))
		if took > returnLimit {
			t.Errorf("that is more than %v", returnLimit)
		}
	}
	returned := time.Now()
	if err := ask(); err != nil {
		t.Errorf("a connection that was kept: %v", err)
	}
	t.Logf("a connection that was kept answered %v later", time.Since(returned).Round(time.Millisecond))
	echoes(t, socket, lines)
	t.Logf("the websocket answered %v later", time.Since(returned).Round(time.Millisecond))
	for range 20 {
		if _, err := flow.ReadString('\n'); err != nil {
			t.Fatalf("the download: %v", err)
		}
	}
	_, _ = socket.Close(), download.Body.Close()
	browser.CloseIdleConnections()
	oneLogin(t)
	closeReady(t, s)
}

// TestSlowLineKeepsLogin: a line that is only slow, or loses packets, costs no further login.
func TestSlowLineKeepsLogin(t *testing.T) {
	for name, line := range map[string]struct{ rtt, loss string }{
		"a round trip of 2 s": {rtt: "2s"}, "20 % lost": {rtt: "20ms", loss: "20"},
	} {
		t.Run(name, func(t *testing.T) {
			begin(t)
			s := serve(t, nil)
			base := s.ready().URL
			before := accepted(t)
			t.Cleanup(func() { tell(t, "rtt", "0"); tell(t, "loss", "0") })
			tell(t, "rtt", line.rtt)
			if line.loss != "" {
				tell(t, "loss", line.loss)
			}
			uploaded := make(chan error, 1)
			go func() {
				resp, err := onLaptop.Post(base+"upload", "text/plain", bytes.NewReader(make([]byte, 300<<10)))
				if err == nil {
					_ = resp.Body.Close()
				}
				uploaded <- err
			}()
			for began := time.Now(); time.Since(began) < 40*time.Second; {
				if code, text := get(t, base); code != 200 {
					t.Errorf("%d %s", code, text)
				}
			}
			if err := <-uploaded; err != nil {
				t.Error(err)
			}
			if n := accepted(t) - before; n != 0 {
				t.Errorf("%d further logins", n)
			}
			tell(t, "rtt", "0")
			tell(t, "loss", "0")
			closeReady(t, s)
		})
	}
}

// accepted is how many logins of alice's ela has accepted so far.
func accepted(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(lab.Env["LAB_RUN"], "hosts/ela/var-log/sshd.log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "Accepted publickey for alice")
}

// oneLogin waits until there is one: a connection that was in use stays for a while beside the last one.
func oneLogin(t *testing.T) {
	t.Helper()
	if left := poll(patience, func() string {
		if n := logins(); n != 1 {
			return fmt.Sprint(n, " logins")
		}
		return ""
	}); left != "" {
		t.Error(left)
	}
}

// upgrade opens a connection that goes on as a websocket does.
func upgrade(t *testing.T, base string) (net.Conn, *bufio.Reader) {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := onLaptop.Transport.(*http.Transport).DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	r := bufio.NewReader(conn)
	if _, err := fmt.Fprintf(conn, "GET /echo HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", u.Host); err != nil {
		t.Fatal(err)
	}
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	return conn, r
}

func echoes(t *testing.T, conn net.Conn, r *bufio.Reader) {
	t.Helper()
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
}

// returns cuts the line for that long and returns how long after that each URL answers. Each is asked from before the cut
// on, one request after the other, and once more at the network's return: what is open over the old connection waits for
// that.
func returns(t *testing.T, urls []string, length time.Duration) []time.Duration {
	t.Helper()
	answered, stop := make([]chan time.Time, len(urls)), make(chan struct{})
	for i, url := range urls {
		first := make(chan struct{})
		answered[i] = make(chan time.Time, 1000)
		ended := make(chan struct{})
		t.Cleanup(func() { <-ended })
		go func() {
			defer close(ended)
			// As often as is enough to have a request under way at the cut.
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				if code, _ := get(t, url); code == 200 {
					answered[i] <- time.Now()
				}
				if n == 0 {
					close(first)
				}
				select {
				case <-stop:
					return
				case <-tick.C:
				}
			}
		}()
		<-first
	}
	cut(t)
	waittest.SpendRealTime(length) // the length of the cut
	healing := time.Now()
	tell(t, "heal")
	healed := time.Now()
	for i, url := range urls {
		asked := make(chan struct{})
		t.Cleanup(func() { <-asked })
		go func() {
			defer close(asked)
			if code, _ := get(t, url); code == 200 {
				answered[i] <- time.Now()
			}
		}()
	}
	var took []time.Duration
	for i := range urls {
		at := <-answered[i]
		for at.Before(healing) {
			at = <-answered[i]
		}
		took = append(took, max(0, at.Sub(healed)))
	}
	close(stop)
	return took
}
