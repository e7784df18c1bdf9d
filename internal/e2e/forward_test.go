//go:build lab

package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

const gigabyte = 1 << 30

// stream gives the first n bytes of the test server's pattern.
type stream struct{ offset, n int64 }

func (s *stream) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), s.n-s.offset)]
	if len(p) == 0 {
		return 0, io.EOF
	}
	for i := range p {
		o := s.offset + int64(i)
		p[i] = byte(uint64(o)>>3*0x9E3779B97F4A7C15>>56) ^ byte(o)
	}
	s.offset += int64(len(p))
	return len(p), nil
}

func sumOf(t *testing.T, r io.Reader) (int64, string) {
	t.Helper()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		t.Fatal(err)
	}
	return n, hexOf(h)
}

func hexOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// TestForwardGigabyte: one down and one up, byte for byte.
func TestForwardGigabyte(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	url := s.ready().URL
	t.Run("download", func(t *testing.T) { download(t, url, gigabyte) })
	t.Run("upload", func(t *testing.T) { upload(t, url, gigabyte) })
	closeReady(t, s)
}

// download takes n bytes from the test server, and holds them to what they must be.
func download(t *testing.T, url string, n int64) {
	t.Helper()
	_, want := sumOf(t, &stream{n: n})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%sdownload?n=%d", url, n), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := onLaptop.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if got, sum := sumOf(t, resp.Body); got != n || sum != want {
		t.Errorf("%d bytes came, sum %s, want %s", got, sum, want)
	}
}

// upload gives n bytes to the test server, likewise.
func upload(t *testing.T, url string, n int64) {
	t.Helper()
	_, want := sumOf(t, &stream{n: n})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"upload", &stream{n: n})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = n
	resp, err := onLaptop.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	if got := string(body); got != fmt.Sprintf("%d %s <nil>", n, want) {
		t.Errorf("the server says %q, want %s", got, want)
	}
}

// TestForwardHalfClose: either side may be done sending and still listen.
func TestForwardHalfClose(t *testing.T) {
	begin(t)
	s := serve(t, nil, "-tcp")
	halfClose(t, s)
	closeReady(t, s)
}

// halfClose half-closes connections to a server that speaks plain TCP.
func halfClose(t *testing.T, s *session) {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", s.ready().LocalPort)
	const n = 3 << 20

	t.Run("client-first", func(t *testing.T) {
		c := dialTCP(t, addr)
		_, want := sumOf(t, &stream{n: n})
		if _, err := io.Copy(c, io.MultiReader(strings.NewReader("SUM\n"), &stream{n: n})); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if got := string(answer); err != nil || got != fmt.Sprintf("%d %s\n", n, want) {
			t.Errorf("after half-closing: %q, %v", got, err)
		}
	})
	t.Run("server-first", func(t *testing.T) {
		c := dialTCP(t, addr)
		_, want := sumOf(t, &stream{n: n})
		if _, err := fmt.Fprintf(c, "PUSH %d\n", n); err != nil {
			t.Fatal(err)
		}
		// To its end, which comes while this side is still open.
		if got, sum := sumOf(t, c); got != n || sum != want {
			t.Errorf("%d bytes came, sum %s", got, sum)
		}
		if _, err := io.Copy(c, &stream{n: n}); err != nil {
			t.Errorf("send after the server's end: %v", err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		// Nothing comes back that would say when it has arrived.
		if log := poll(patience, func() string {
			all, _ := filepath.Glob(clusterHome(".cscs/*", s.events()[0].Session, "log"))
			if len(all) != 1 {
				return fmt.Sprintf("logs: %v", all)
			}
			log := readFile(t, all[0])
			if strings.Contains(log, fmt.Sprintf("PUSH %d %s <nil>", n, want)) {
				return ""
			}
			return log
		}); log != "" {
			t.Errorf("the server did not get what was sent after its own end:\n%s", log)
		}
	})
}

func dialTCP(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := lab.Dial(t.Context(), "laptop", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// TestForwardThousandConnections: all open at once, and all alive.
func TestForwardThousandConnections(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	openAtOnce(t, fmt.Sprintf("127.0.0.1:%d", s.ready().LocalPort), 1000)
	closeReady(t, s)
}

// openAtOnce has so many connections, upgraded as a websocket's is, echo what each is sent.
func openAtOnce(t *testing.T, addr string, many int) {
	t.Helper()
	conns := make([]*bufio.ReadWriter, many)
	errs := make([]error, many)
	each := func(f func(i int) error) {
		t.Helper()
		var wg sync.WaitGroup
		limit := make(chan struct{}, 100)
		for i := range many {
			wg.Go(func() {
				limit <- struct{}{}
				errs[i] = f(i)
				<-limit
			})
		}
		wg.Wait()
		bad := 0
		for i, err := range errs {
			if err != nil {
				bad++
				if bad <= 3 {
					t.Errorf("connection %d: %v", i, err)
				}
			}
		}
		if bad > 0 {
			t.Fatalf("%d of %d failed", bad, many)
		}
	}
	each(func(i int) error {
		c, err := lab.Dial(t.Context(), "laptop", addr)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetDeadline(time.Now().Add(2 * patience)); err != nil {
			return err
		}
		conns[i] = bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
		if _, err := fmt.Fprintf(conns[i], "GET /echo HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", addr); err != nil {
			return err
		}
		if err := conns[i].Flush(); err != nil {
			return err
		}
		for {
			line, err := conns[i].ReadString('\n')
			if err != nil || line == "\r\n" {
				return err
			}
		}
	})
	for round := range 3 {
		each(func(i int) error {
			word := fmt.Sprintf("round %d of %d\n", round, i)
			if _, err := conns[i].WriteString(word); err != nil {
				return err
			}
			if err := conns[i].Flush(); err != nil {
				return err
			}
			got, err := conns[i].ReadString('\n')
			if err == nil && got != word {
				err = fmt.Errorf("sent %q, got %q", word, got)
			}
			return err
		})
	}
}

// TestForwardOnLoopbackOnly (I4): 127.0.0.1 and ::1, the same port, nothing else.
func TestForwardOnLoopbackOnly(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	e := s.ready()
	want := map[string]bool{fmt.Sprintf("127.0.0.1:%d", e.LocalPort): true, fmt.Sprintf("[::1]:%d", e.LocalPort): true}
	for _, l := range listeners("laptop") {
		if l.UID == labctl.AliceUID && !want[l.Addr.String()] {
			t.Errorf("it also listens on %s", l.Addr)
		}
		delete(want, l.Addr.String())
	}
	for addr := range want {
		t.Errorf("it does not listen on %s", addr)
	}
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		if code, body := get(t, fmt.Sprintf("http://%s:%d/", host, e.LocalPort)); code != http.StatusOK {
			t.Errorf("%s: %d %s", host, code, body)
		}
	}
	closeReady(t, s)
}

// TestForwardBusyPort: a port that was asked for and is taken is an error that
// names who has it, before anything is allocated; one that was only a first
// choice gives way to the next.
func TestForwardBusyPort(t *testing.T) {
	t.Run("asked-for", func(t *testing.T) {
		begin(t)
		unallocated(t)
		holder(t, "8123")
		s := serve(t, []string{"--local-port", "8123"})
		e := s.failure(1, "port-busy")
		says(t, e.Message, "8123", "python3")
	})
	t.Run("first-choice", func(t *testing.T) {
		begin(t)
		holder(t, "8888")
		s := cscs(t, "run-jupyter", "--venv", lab.Env["LAB_VENV"])
		if e := s.ready(); e.LocalPort == 8888 || e.LocalPort > 8900 {
			t.Errorf("the local port is %d", e.LocalPort)
		}
		if w, ok := s.find("warning"); !ok || !strings.Contains(w.Message, "8888") {
			t.Errorf("it is not told that 8888 is taken: %v", w.Message)
		}
		closeReady(t, s)
	})
}

// holder has alice's laptop use a port for something else.
func holder(t *testing.T, port string) {
	t.Helper()
	b := start(t, as(context.Background(), "alice", "laptop", "python3", "-u", "-m", "http.server", port, "--bind", "127.0.0.1"))
	b.line("Serving")
}

// TestForwardBeforeReady: the local port exists from the start, so a browser
// that is too early waits instead of failing.
func TestForwardBeforeReady(t *testing.T) {
	begin(t)
	settle(t)
	job := occupy(t, "mallory", "-N", "3")
	s := serve(t, []string{"--local-port", "8123"})
	s.wait("queued")
	found := false
	for _, l := range listeners("laptop") {
		found = found || l.Addr.Port() == 8123 && l.UID == labctl.AliceUID
	}
	if !found {
		t.Error("the local port is not listened on while the job waits")
	}
	cancelJob(t, job)
	s.ready()
	closeReady(t, s)
}

// lastLog is the newest server log that was fetched to the laptop in this test.
func lastLog(t *testing.T) string {
	t.Helper()
	logs := slices.DeleteFunc(serverLogs(), func(path string) bool { return slices.Contains(earlierLogs, path) })
	if len(logs) == 0 {
		t.Fatal("no log was fetched to the laptop")
	}
	return readFile(t, logs[len(logs)-1])
}
