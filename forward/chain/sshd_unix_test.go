//go:build unix

package chain

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// realWay starts n of OpenSSH's servers that let a certificate in, and whose
// host keys are certified. One authority signs for users, one for hosts.
func realWay(t testing.TB, n int, options ...string) ([]*sshtest.SSHD, []Hop) {
	t.Helper()
	users, hosts, key := sshtest.NewKey(t), sshtest.NewKey(t), sshtest.NewKey(t)
	known, err := parseKnownHosts("known_hosts", []byte("@cert-authority 127.0.0.1 "+keyText(hosts.PublicKey())))
	if err != nil {
		t.Fatal(err)
	}
	var servers []*sshtest.SSHD
	var hops []Hop
	for _, name := range []string{"ela", "daint", "nid001001"}[:n] {
		s := sshtest.StartSSHD(t, sshtest.SSHDConfig{UserCA: users.PublicKey(), HostCA: hosts, Options: options})
		cert := sshtest.UserCert(t, users, key.PublicKey(), []string{s.User})
		servers = append(servers, s)
		hops = append(hops, Hop{
			Name: name, Addr: s.Addr, User: s.User, Signer: sshtest.Certified(t, cert, key), HostKeys: known,
		})
	}
	return servers, hops
}

func TestOpenSSH(t *testing.T) {
	_, hops := realWay(t, 3)
	c := dial(t, hops, Options{})

	t.Run("exec", func(t *testing.T) {
		for _, tt := range []struct {
			command, stdin, stdout, stderr string
			status                         int
			signal                         string
		}{
			{"echo hello; echo oh >&2; exit 3", "", "hello\n", "oh\n", 3, ""},
			{"cat", "some text", "some text", "", 0, ""},
			{"cat", "", "", "", 0, ""},
			{"bash -s one two", "echo $2 $1\n", "two one\n", "", 0, ""},
			{"kill -TERM $$", "", "", "", 128 + 15, "TERM"},
		} {
			var stdin io.Reader
			if tt.stdin != "" {
				stdin = strings.NewReader(tt.stdin)
			}
			var out, errOut bytes.Buffer
			err := c.Exec(t.Context(), tt.command, stdin, &out, &errOut)
			var exit *ssh.ExitError
			if tt.status == 0 && err != nil ||
				tt.status != 0 && (!errors.As(err, &exit) || exit.ExitStatus() != tt.status || exit.Signal() != tt.signal) {
				t.Errorf("%s: %v", tt.command, err)
			}
			if out.String() != tt.stdout || errOut.String() != tt.stderr {
				t.Errorf("%s: stdout %q, stderr %q", tt.command, &out, &errOut)
			}
		}
	})
	t.Run("cancelled exec", func(t *testing.T) {
		// The command is asked to end by what the closing of its channel does to it.
		mark := filepath.Join(t.TempDir(), "ended")
		ctx, cancel := context.WithCancel(t.Context())
		stdin, keepOpen := io.Pipe()
		defer keepOpen.Close()
		output, stdout := io.Pipe()
		ran := make(chan error, 1)
		go func() { ran <- c.Exec(ctx, "echo started; cat; touch "+mark, stdin, stdout, nil) }()
		if _, err := io.ReadFull(output, make([]byte, len("started\n"))); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := soon(t, "Exec", func() error { return <-ran }); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		eventually(t, "the command has ended", func() bool { return exists(mark) })
	})
	t.Run("echo and half-close", func(t *testing.T) {
		if err := roundTrip(t.Context(), c, echo(t), pattern(3<<20)); err != nil {
			t.Error(err)
		}
	})
	t.Run("500 at once", func(t *testing.T) {
		addr := echo(t)
		var channels sync.WaitGroup
		for i := range 500 {
			channels.Go(func() {
				if err := roundTrip(t.Context(), c, addr, pattern(1000+i)); err != nil {
					t.Error(err)
				}
			})
		}
		channels.Wait()
	})
	t.Run("100 MB", func(t *testing.T) {
		size := 100 << 20
		if testing.Short() {
			size = 10 << 20
		}
		if err := roundTrip(t.Context(), c, echo(t), pattern(size)); err != nil {
			t.Error(err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		var open *OpenError
		if _, err := c.DialContext(t.Context(), "tcp", l.Addr().String()); !errors.As(err, &open) ||
			open.Hop != "nid001001" || open.Reason != "connect failed" || open.Message != "Connection refused" {
			t.Errorf("%#v", err)
		}
	})
}

func TestOpenSSHRekey(t *testing.T) {
	_, hops := realWay(t, 2, "RekeyLimit 1M")
	c := dial(t, hops, Options{})
	if err := roundTrip(t.Context(), c, echo(t), pattern(20<<20)); err != nil {
		t.Error(err)
	}
}

func TestOpenSSHRefusals(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options []string
		change  func(t *testing.T, hop *Hop)
		check   func(t *testing.T, err error)
	}{
		{"unknown key", nil, func(t *testing.T, hop *Hop) { hop.Signer = sshtest.NewKey(t) }, func(t *testing.T, err error) {
			var e *AuthError
			if !errors.As(err, &e) || e.Hop != "daint" || e.Accepted || len(e.Methods) != 1 || e.Methods[0] != "publickey" {
				t.Errorf("%v: %+v", err, e)
			}
		}},
		{"unknown user", nil, func(_ *testing.T, hop *Hop) { hop.User = "mallory" }, isDenied},
		{"too many failures", []string{"MaxAuthTries 1"}, func(t *testing.T, hop *Hop) { hop.Signer = sshtest.NewKey(t) },
			func(t *testing.T, err error) {
				var e *AuthError
				if !errors.As(err, &e) || e.Disconnect != "Too many authentication failures" {
					t.Errorf("%v: %+v", err, e)
				}
			}},
		{"more is asked for", []string{"AuthenticationMethods publickey,keyboard-interactive", "KbdInteractiveAuthentication yes"}, nil,
			func(t *testing.T, err error) {
				var e *AuthError
				if !errors.As(err, &e) || !e.Partial || len(e.Methods) != 1 || e.Methods[0] != "keyboard-interactive" {
					t.Errorf("%v: %+v", err, e)
				}
			}},
		{"banner", []string{"Banner /etc/passwd", "DenyUsers *"}, nil, func(t *testing.T, err error) {
			var e *AuthError
			if !errors.As(err, &e) || !strings.Contains(e.Banner, "root:") {
				t.Errorf("%v: %+v", err, e)
			}
		}},
		{"no forwarding", []string{"AllowTcpForwarding no"}, nil, func(t *testing.T, err error) {
			var e *OpenError
			if !errors.As(err, &e) || e.Hop != "ela" || e.Reason != "administratively prohibited" {
				t.Errorf("%v: %+v", err, e)
			}
		}},
		{"another host's key", nil, func(t *testing.T, hop *Hop) { hop.HostKeys = PinnedKeys(sshtest.NewKey(t).PublicKey()) },
			func(t *testing.T, err error) {
				var e *HostKeyError
				if !errors.As(err, &e) || e.Hop != "daint" || e.Kind != HostKeyChanged {
					t.Errorf("%v: %+v", err, e)
				}
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			servers, hops := realWay(t, 2, tt.options...)
			if tt.change != nil {
				tt.change(t, &hops[1])
			} else if tt.options != nil && tt.name != "no forwarding" {
				hops = hops[1:]
			}
			if tt.name == "too many failures" {
				hops = hops[1:]
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			c, err := Dial(ctx, hops, Options{})
			if err == nil {
				_ = c.Close()
				t.Fatal("dialled")
			}
			tt.check(t, err)
			eventually(t, "the servers have no connections", func() bool { return servers[0].Conns()+servers[1].Conns() == 0 })
		})
	}
}

func isDenied(t *testing.T, err error) {
	t.Helper()
	if e := (*AuthError)(nil); !errors.As(err, &e) || e.Accepted {
		t.Errorf("%v: %+v", err, e)
	}
}

// TestOpenSSHExpired: what sshd says to a certificate that has run out, should
// it get that far.
func TestOpenSSHExpired(t *testing.T) {
	users, key := sshtest.NewKey(t), sshtest.NewKey(t)
	s := sshtest.StartSSHD(t, sshtest.SSHDConfig{UserCA: users.PublicKey()})
	cert := sshtest.UserCert(t, users, key.PublicKey(), []string{s.User}, func(c *ssh.Certificate) {
		c.ValidBefore = uint64(time.Now().Add(-time.Minute).Unix())
	})
	_, err := Dial(t.Context(), []Hop{{
		Name: "ela", Addr: s.Addr, User: s.User, Signer: sshtest.Certified(t, cert, key), HostKeys: PinnedKeys(s.HostKeys...),
	}}, Options{})
	isDenied(t, err)
}

// TestOpenSSHKeys: each kind of key and of host key gets through.
func TestOpenSSHKeys(t *testing.T) {
	ca := sshtest.NewECDSAKey(t)
	for _, key := range []ssh.Signer{sshtest.NewKey(t), sshtest.NewECDSAKey(t), sshtest.RSAKey(t)} {
		s := sshtest.StartSSHD(t, sshtest.SSHDConfig{UserCA: ca.PublicKey(), Keys: []ssh.PublicKey{key.PublicKey()}})
		cert := sshtest.Certified(t, sshtest.UserCert(t, ca, key.PublicKey(), []string{s.User}), key)
		for i, signer := range []ssh.Signer{key, cert} {
			known, err := parseKnownHosts("", []byte("[127.0.0.1]:* "+keyText(s.HostKeys[i])))
			if err != nil {
				t.Fatal(err)
			}
			for _, keys := range []HostKeys{PinnedKeys(s.HostKeys[2]), PinnedKeys(s.HostKeys...), known} {
				c, err := Dial(t.Context(), []Hop{{Name: "ela", Addr: s.Addr, User: s.User, Signer: signer, HostKeys: keys}}, Options{})
				if err != nil {
					t.Errorf("%s: %v", signer.PublicKey().Type(), err)
					continue
				}
				_ = c.Close()
			}
		}
	}
}

func TestOpenSSHDies(t *testing.T) {
	for i := range 3 {
		servers, hops := realWay(t, 3)
		c := dial(t, hops, Options{})
		conn, err := c.DialContext(t.Context(), "tcp", echo(t))
		if err != nil {
			t.Fatal(err)
		}
		reading := make(chan error, 1)
		go func() { _, err := conn.Read(make([]byte, 1)); reading <- err }()
		servers[i].Kill()
		for what, f := range map[string]func() error{
			"the chain": func() error { <-c.Done(); return c.Err() },
			"a read":    func() error { return <-reading },
		} {
			var lost *LostError
			if err := soon(t, what, f); !errors.As(err, &lost) || lost.Hop != hops[i].Name {
				t.Errorf("%s died: %s: %v", hops[i].Name, what, err)
			}
		}
		_ = conn.Close()
		_ = c.Close()
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// The way through a command of the host before, as ssh's ProxyCommand goes it.
func TestOpenSSHThroughACommand(t *testing.T) {
	_, hops := realWay(t, 2)
	login := dial(t, hops[:1], Options{})
	_, port, err := net.SplitHostPort(hops[1].Addr)
	if err != nil {
		t.Fatal(err)
	}
	hops[1].Addr, hops[1].HostKeyAlias = "nowhere:22", "127.0.0.1"
	hops[1].Carrier = func(ctx context.Context) (net.Conn, error) {
		return login.Start(ctx, "exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/"+port+"; cat <&3 & cat >&3; kill $!'", io.Discard)
	}
	c, err := login.Extend(t.Context(), hops[1])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := roundTrip(t.Context(), c, echo(t), pattern(20<<20)); err != nil {
		t.Error(err)
	}
	if err := c.Exec(t.Context(), "exit 3", nil, nil, nil); err == nil || !strings.Contains(err.Error(), "3") {
		t.Errorf("a command: %v", err)
	}
	_ = login.Close()
	var lost *LostError
	if err := soon(t, "the chain", func() error { <-c.Done(); return c.Err() }); !errors.As(err, &lost) {
		t.Errorf("%v", err)
	}
}

// TestOpenSSHChannelTimeout: sshd closes a channel that was silent (sshd_config(5), ChannelTimeout). What ran
// over it ends; the connection does not.
func TestOpenSSHChannelTimeout(t *testing.T) {
	_, hops := realWay(t, 1, "ChannelTimeout session:*=1s direct-tcpip=1s")
	c := dial(t, hops, Options{})
	stdin, keepOpen := io.Pipe()
	defer keepOpen.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := c.Exec(ctx, "cat", stdin, io.Discard, io.Discard)
	if ctx.Err() != nil || errors.As(err, new(*LostError)) || errors.As(err, new(*ssh.ExitError)) {
		t.Errorf("the command over the closed channel: %v", err)
	}
	conn, err := c.DialContext(ctx, "tcp", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.As(err, new(*LostError)) {
		t.Errorf("the closed channel of a connection: %v", err)
	}
	if c.Err() != nil {
		t.Fatalf("the chain has ended: %v", c.Err())
	}
	if err := c.Exec(ctx, "true", nil, io.Discard, io.Discard); err != nil {
		t.Errorf("another command: %v", err)
	}
}
