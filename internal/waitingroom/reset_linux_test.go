package waitingroom

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/strangertest"
)

// TestResetStranger: no request of another user's process passes if that process has the cookie and
// resets its connection before the kernel is asked about it.
func TestResetStranger(t *testing.T) {
	var dialed atomic.Int32
	t.Cleanup(func() { // runs after the room and all that it has started have ended
		if n := dialed.Load(); n > 0 {
			t.Errorf("%d connections to the server were opened", n)
		}
	})
	reset, asked := make(chan struct{}), make(chan struct{})
	p := openWith(t, true, nil, 0, func(from, to netip.AddrPort) (int, error) {
		defer close(asked)
		<-reset
		return peer.UID(from, to)
	})
	p.room.Login([]string{"login=SECRET"})
	p.listener.SetTarget(func(ctx context.Context) (net.Conn, error) {
		dialed.Add(1)
		return p.target(ctx)
	})
	p.room.Leads(true)
	address := strings.TrimPrefix(p.base, "http://")
	// net/http watches the connection once the body is read: until then the reset cancels nothing.
	request := "POST /api/terminals HTTP/1.1\r\nHost: " + address + "\r\n" + p.cookie() + "\r\nContent-Length: 4\r\n\r\nabcd"
	if said := strangertest.Start(t, "reset "+address+" "+strconv.Quote(request))(); said != "<nil>" {
		t.Fatal(said)
	}
	close(reset)
	<-asked
}
