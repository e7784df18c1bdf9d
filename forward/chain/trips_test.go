package chain

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshserver"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// TestRoundTrips counts the round trips between the laptop and the jump host that each step takes. The hosts
// take no time. TCP's slow start and sshd's Nagle come on top (docs/design/chain.md, Round trips).
func TestRoundTrips(t *testing.T) {
	const trip = 100 * time.Millisecond
	key, hostKey := sshtest.NewKey(t), sshtest.NewKey(t) // no system call in the bubble
	synctest.Test(t, func(t *testing.T) {
		defer sleep(time.Second) // the bubble's clock stands still when this ends
		// A server whose connections are pipes, with the way there through line.
		host := func(line func(near, far net.Conn)) (*sshserver.Server, func() net.Conn) {
			s, err := sshserver.New(sshserver.Config{HostKeys: []ssh.Signer{hostKey}, Keys: []ssh.PublicKey{key.PublicKey()}, Exec: shell})
			if err != nil {
				t.Fatal(err)
			}
			return s, func() net.Conn {
				client, near := sshserver.Pipe()
				far, server := sshserver.Pipe()
				line(near, far)
				go s.Serve(server)
				return client
			}
		}
		login, connect := host(func(near, far net.Conn) { carryAfter(0, near, far) })
		defer login.Close()
		jump, err := sshserver.New(sshserver.Config{
			HostKeys: []ssh.Signer{hostKey}, Keys: []ssh.PublicKey{key.PublicKey()},
			Dial: func(string, string) (net.Conn, error) { return connect(), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer jump.Close()
		hop := func(name string) Hop {
			return Hop{Name: name, Addr: name + ":22", User: "alice", Signer: key, HostKeys: PinnedKeys(hostKey.PublicKey())}
		}
		began := time.Now()
		took := func(what string, want float64) {
			t.Helper()
			if got := float64(time.Since(began)) / float64(trip); got != want {
				t.Errorf("%s: %v round trips, want %v", what, got, want)
			}
			began = time.Now()
		}
		c, err := Dial(t.Context(), []Hop{hop("ela"), hop("daint")}, Options{
			NetDial: func(context.Context, string, string) (net.Conn, error) {
				client, near := sshserver.Pipe()
				far, server := sshserver.Pipe()
				carryAfter(trip/2, near, far)
				sleep(trip) // TCP's handshake
				go jump.Serve(server)
				return client, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		took("two hops", 14)
		var out bytes.Buffer
		if err := c.Exec(t.Context(), "cat", strings.NewReader("some text"), &out, nil); err != nil || out.String() != "some text" {
			t.Errorf("%q, %v", &out, err)
		}
		took("a command and its input", 3)
	})
}

// carryAfter makes near and far one connection, on which what one end has written arrives after d.
func carryAfter(d time.Duration, near, far net.Conn) {
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		type packet struct {
			due  time.Time
			data []byte
		}
		line := make(chan packet, 1000)
		go func() {
			defer close(line)
			for {
				buf := make([]byte, 32<<10)
				n, err := way[0].Read(buf)
				if err != nil {
					return
				}
				line <- packet{time.Now().Add(d), buf[:n]}
			}
		}()
		go func() {
			for p := range line {
				sleep(time.Until(p.due))
				if _, err := way[1].Write(p.data); err != nil {
					break
				}
			}
			_ = way[0].Close()
			_ = way[1].Close()
			for range line { // what is left of it is lost
			}
		}()
	}
}
