package waitingroom

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A connection that is in use when the way to the server changes is not kept when its answer ends, though other requests
// come: it would hold the old way open.
func TestWayRenewed(t *testing.T) {
	answer, closed := make(chan struct{}), make(chan string, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RemoteAddr)
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-answer
		}
	}))
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- c.RemoteAddr().String()
		}
	}
	server.Start()
	defer server.Close()
	w := new(serverTransport)
	w.current.Store(new(http.Transport))
	defer w.renewConnections()
	ask := func(path string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := w.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	slow := ask("/slow")
	w.renewConnections()
	quick := ask("/")
	_, _ = io.Copy(io.Discard, quick.Body)
	_ = quick.Body.Close()
	close(answer)
	addr, err := io.ReadAll(slow.Body)
	if err != nil {
		t.Error(err)
	}
	_ = slow.Body.Close()
	if a := waittest.Receive(t, 10*time.Second, "the end of the connection", closed); a != string(addr) {
		t.Errorf("closed %s, not %s", a, addr)
	}
}
