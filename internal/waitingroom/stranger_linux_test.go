package waitingroom

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/strangertest"
)

// TestHalfClosedStranger: another user's process that has the cookie, as a browser sends it to every
// port of 127.0.0.1, is not let in, though it has ended its half of the connection.
func TestHalfClosedStranger(t *testing.T) {
	for _, protected := range []bool{false, true} {
		var passed atomic.Int32
		p := openWith(t, protected, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed.Add(1) }), 0, peer.UID)
		p.room.Login([]string{"login=SECRET"})
		if protected { // else the server itself answers
			p.listener.SetTarget(p.target)
		}
		p.room.Leads(true)
		paths := []string{p.room.ownPrefix() + "in"}
		if protected {
			paths = append(paths, "/api/terminals")
		}
		for _, path := range paths {
			address := strings.TrimPrefix(p.base, "http://")
			request := "GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\n" + p.cookie() + "\r\nConnection: close\r\n\r\n"
			says := strangertest.Start(t, "ask "+address+" "+strconv.Quote(request))
			if said := says(); !strings.Contains(said, " 403 ") {
				t.Errorf("protected %v: %s answers %q", protected, path, said)
			}
		}
		if n := passed.Load(); n > 0 {
			t.Errorf("protected %v: the server got %d requests", protected, n)
		}
	}
}
