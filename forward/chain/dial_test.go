package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// fails dials hops, expects an error of type E and returns it. Nothing may stay
// open.
func fails[E error](t *testing.T, w *way, opts Options) (e E) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := Dial(ctx, w.hops, opts)
	if err == nil {
		_ = c.Close()
		t.Fatal("dialled")
	}
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
	w.emptied(t)
	return e
}

// emptied waits until no server has a connection.
func (w *way) emptied(t *testing.T) {
	t.Helper()
	eventually(t, "the servers have no connections", func() bool {
		for _, s := range w.servers {
			if s.Conns() > 0 {
				return false
			}
		}
		return true
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it never came about that %s", what)
		}
	}
}

func TestWrongHostKey(t *testing.T) {
	for i := range 3 {
		w := newWay(t, 3, nil)
		w.hops[i].HostKeys = PinnedKeys(sshtest.NewKey(t).PublicKey())
		e := fails[*HostKeyError](t, w, Options{})
		if e.Hop != w.hops[i].Name || e.Kind != HostKeyChanged || e.Fingerprint != ssh.FingerprintSHA256(w.servers[i].HostKey()) {
			t.Errorf("hop %d: %+v", i, e)
		}
		if offered := w.servers[i].Offered(); len(offered) > 0 {
			t.Errorf("hop %d was shown a key", i)
		}
		// Nothing of the type that is pinned.
		w.hops[i].HostKeys = PinnedKeys(sshtest.NewECDSAKey(t).PublicKey())
		if e := fails[*HostKeyError](t, w, Options{}); e.Hop != w.hops[i].Name || e.Kind != HostKeyChanged {
			t.Errorf("hop %d: %+v", i, e)
		}
	}
}

func TestHostCertificates(t *testing.T) {
	ca, host := sshtest.NewKey(t), sshtest.RSAKey(t)
	cert := sshtest.Certified(t, sshtest.HostCert(t, ca, host.PublicKey(), []string{"127.0.0.1"}), host)
	w := newWay(t, 2, func(_ int, c *sshtest.Config) { c.HostKeys = []ssh.Signer{cert, host} })

	for name, keys := range map[string]HostKeys{
		"the key in it is pinned": PinnedKeys(host.PublicKey()),
		"it is pinned itself":     PinnedKeys(cert.PublicKey()),
		"its authority is known": func() HostKeys {
			k, err := parseKnownHosts("", []byte("@cert-authority 127.0.0.? "+keyText(ca.PublicKey())))
			if err != nil {
				t.Fatal(err)
			}
			return k
		}(),
		"the key in it is known": func() HostKeys {
			k, err := parseKnownHosts("", []byte("[127.0.0.1]:* "+keyText(host.PublicKey())))
			if err != nil {
				t.Fatal(err)
			}
			return k
		}(),
	} {
		for i := range w.hops {
			w.hops[i].HostKeys = keys
		}
		c, err := Dial(t.Context(), w.hops, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = c.Close()
	}
}

func TestHostKeyAlias(t *testing.T) {
	w := newWay(t, 1, nil)
	k, err := parseKnownHosts("", []byte("nid001001 "+keyText(w.servers[0].HostKey())))
	if err != nil {
		t.Fatal(err)
	}
	w.hops[0].HostKeys = k
	_ = fails[*HostKeyError](t, w, Options{})
	w.hops[0].HostKeyAlias = "NID001001"
	dial(t, w.hops, Options{})
}

// TestOneKey: a server sees one key, and of a certificate only that.
func TestOneKey(t *testing.T) {
	ca := sshtest.NewKey(t)
	for _, key := range []ssh.Signer{sshtest.NewKey(t), sshtest.NewECDSAKey(t), sshtest.RSAKey(t)} {
		cert := sshtest.Certified(t, sshtest.UserCert(t, ca, key.PublicKey(), []string{"alice"}), key)
		for _, signer := range []ssh.Signer{key, cert} {
			w := newWay(t, 2, func(_ int, c *sshtest.Config) {
				c.Keys = []ssh.PublicKey{key.PublicKey()}
				c.UserCA = ca.PublicKey()
				// What OpenSSH accepts by default: no SHA-1.
				c.Algorithms = ssh.SupportedAlgorithms().PublicKeyAuths
			})
			for i := range w.hops {
				w.hops[i].Signer = signer
			}
			dial(t, w.hops, Options{})
			for _, s := range w.servers {
				if offered := s.Offered(); len(offered) != 1 || !sameKey(offered[0], signer.PublicKey()) {
					t.Errorf("%s: offered %d keys", signer.PublicKey().Type(), len(offered))
				}
			}
		}
	}
}

func TestPermissionDenied(t *testing.T) {
	w := newWay(t, 2, func(i int, c *sshtest.Config) {
		if i == 1 {
			c.Keys = nil
			c.Banner = "Welcome\x1b[2J to daint\r\nMaintenance on Wednesday\r\n"
		}
	})
	e := fails[*AuthError](t, w, Options{})
	want := &AuthError{
		Hop: "daint", User: "alice",
		Offered: "ED25519 key " + ssh.FingerprintSHA256(w.hops[1].Signer.PublicKey()),
		Methods: []string{"publickey"},
		Banner:  "Welcome [2J to daint\nMaintenance on Wednesday",
	}
	if diff := cmp.Diff(want, e, cmpopts.IgnoreFields(AuthError{}, "Err")); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(e.Error(), "permission denied (publickey)") {
		t.Error(e)
	}
}

func TestAccountDenied(t *testing.T) {
	const denial = "Access denied by pam_slurm_adopt: you have no active jobs on this node"
	w := newWay(t, 2, func(i int, c *sshtest.Config) {
		if i == 1 {
			c.Account = func(string) error { return errors.New(denial) }
		}
	})
	e := fails[*AuthError](t, w, Options{})
	if !e.Accepted || e.Banner != denial || !strings.HasSuffix(e.Error(), denial) {
		t.Errorf("%v, %+v", e, e)
	}
}

func TestTooManyFailures(t *testing.T) {
	w := newWay(t, 1, func(_ int, c *sshtest.Config) { c.Keys = nil; c.MaxAuthTries = 1 })
	e := fails[*AuthError](t, w, Options{})
	if e.Disconnect != "too many authentication failures" {
		t.Errorf("%+v", e)
	}
}

func TestCertificateForAnother(t *testing.T) {
	ca, key := sshtest.NewKey(t), sshtest.NewKey(t)
	cert := sshtest.Certified(t, sshtest.UserCert(t, ca, key.PublicKey(), []string{"mallory"}), key)
	w := newWay(t, 1, func(_ int, c *sshtest.Config) { c.UserCA = ca.PublicKey() })
	w.hops[0].Signer = cert
	e := fails[*AuthError](t, w, Options{})
	if want := `ED25519 certificate "test" (serial 7) for ` + ssh.FingerprintSHA256(key.PublicKey()); e.Offered != want {
		t.Errorf("%q, want %q", e.Offered, want)
	}
}

// lockedSigner is an agent that was locked meanwhile.
type lockedSigner struct{ ssh.Signer }

func (lockedSigner) Sign(io.Reader, []byte) (*ssh.Signature, error) {
	return nil, errors.New("agent: failure")
}

func TestHolderWillNotSign(t *testing.T) {
	w := newWay(t, 1, nil)
	w.hops[0].Signer = lockedSigner{w.hops[0].Signer}
	if e := fails[*SignError](t, w, Options{}); e.Hop != "ela" || e.Err.Error() != "agent: failure" {
		t.Errorf("%+v", e)
	}
}

// TestSameAgain: a host must keep its key while we are connected to it.
func TestSameAgain(t *testing.T) {
	key, other := sshtest.NewKey(t).PublicKey(), sshtest.NewKey(t).PublicKey()
	if err := sameAgain(Hop{}, key, key); err != nil {
		t.Error(err)
	}
	var e *HostKeyError
	if err := sameAgain(Hop{Name: "ela", Addr: "ela:22"}, key, other); !errors.As(err, &e) || e.Kind != HostKeyChanged {
		t.Error(err)
	}
}

// A changingKey is a host key that becomes another one.
type changingKey struct {
	before, after ssh.Signer
	changed       atomic.Bool
}

func (k *changingKey) now() ssh.Signer {
	if k.changed.Load() {
		return k.after
	}
	return k.before
}

func (k *changingKey) PublicKey() ssh.PublicKey { return k.now().PublicKey() }

func (k *changingKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.now().Sign(rand, data)
}

// TestHostKeyChangesLater: a host that shows another key when the keys are exchanged again is
// refused, even if that key is known too.
func TestHostKeyChangesLater(t *testing.T) {
	for _, changes := range []bool{false, true} {
		key := &changingKey{before: sshtest.NewKey(t), after: sshtest.NewKey(t)}
		w := newWay(t, 1, func(_ int, c *sshtest.Config) {
			c.HostKeys = []ssh.Signer{key}
			c.RekeyThreshold = 1 << 20
		})
		w.hops[0].HostKeys = PinnedKeys(key.before.PublicKey(), key.after.PublicKey())
		c := dial(t, w.hops, Options{})
		key.changed.Store(changes)
		err := roundTrip(t.Context(), c, echo(t), pattern(8<<20))
		if !changes {
			if err != nil {
				t.Errorf("the same key again: %v", err)
			}
			continue
		}
		_ = soon(t, "the chain", func() error { <-c.Done(); return nil })
		var lost *LostError
		var refused *HostKeyError
		if err == nil || !errors.As(c.Err(), &lost) || !errors.As(c.Err(), &refused) || refused.Kind != HostKeyChanged {
			t.Errorf("another key: %v, the chain %v", err, c.Err())
		}
	}
}

func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func says(s string) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.WriteString(conn, s) }
}

// TestNoSSH: what is not an SSH server, as the first hop and as one behind.
func TestNoSSH(t *testing.T) {
	for _, tt := range []struct {
		name    string
		serve   func(net.Conn)
		said    string
		timeout bool
	}{
		{"silence", silent, "", true},
		{"hangs up", func(net.Conn) {}, "", false},
		{"a refusal", says("Not allowed at this time\r\n"), "Not allowed at this time", false},
		{"a web server", says("HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"), "HTTP/1.1 400 Bad Request", false},
		{"noise", says(strings.Repeat("\x00\xff\x1b", 1000)), "", false},
		{"endless noise", func(conn net.Conn) {
			for {
				if _, err := conn.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}, "", false},
		{"a version and no more", func(conn net.Conn) {
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.9\r\n")
			silent(conn)
		}, "", true},
		{"a version, then noise", says("SSH-2.0-OpenSSH_9.9\r\n" + strings.Repeat("x", 1000)), "", false},
	} {
		for behind := range 2 {
			t.Run(fmt.Sprintf("%s/%d", tt.name, behind), func(t *testing.T) {
				t.Parallel()
				w := newWay(t, behind, nil)
				w.hops = append(w.hops, Hop{
					Name: "odd", Addr: sshtest.ServeTCP(t, tt.serve), Signer: sshtest.NewKey(t),
					HostKeys: PinnedKeys(sshtest.NewKey(t).PublicKey()),
				})
				patience := 30 * time.Second
				if tt.timeout {
					patience = 2 * time.Second // the hop before has to answer in it, too
				}
				e := fails[*DialError](t, w, Options{Timeout: patience})
				if e.Hop != "odd" || e.Phase != PhaseHandshake || e.Timeout() != tt.timeout || e.Said != tt.said {
					t.Errorf("%v: %+v", e, e)
				}
			})
		}
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()

	w := newWay(t, 1, nil)
	w.hops[0].Addr = nobody
	if e := fails[*DialError](t, w, Options{}); e.Phase != PhaseConnect || e.Hop != "ela" {
		t.Errorf("%+v", e)
	}

	w = newWay(t, 2, nil)
	w.hops[1].Addr = nobody
	var open *OpenError
	if e := fails[*DialError](t, w, Options{}); !errors.As(e, &open) || open.Hop != "ela" || open.Reason != "connect failed" {
		t.Errorf("%+v", e)
	}

	w = newWay(t, 2, func(_ int, c *sshtest.Config) {
		c.Dial = func(string, string) (net.Conn, error) {
			return nil, &ssh.OpenChannelError{Reason: ssh.Prohibited, Message: "open failed"}
		}
	})
	if e := fails[*DialError](t, w, Options{}); !errors.As(e, &open) || open.Reason != "administratively prohibited" ||
		open.Message != "open failed" || open.Addr != w.hops[1].Addr {
		t.Errorf("%+v", e)
	}

	w = newWay(t, 1, nil)
	w.hops[0].Addr = "no-such-host.invalid:22"
	var dns *net.DNSError
	if e := fails[*DialError](t, w, Options{}); !errors.As(e, &dns) {
		t.Errorf("%+v", e)
	}
}

// stuckSigner takes its time, like an agent that asks its user.
type stuckSigner struct {
	ssh.Signer
	asked, release chan struct{}
}

func (s *stuckSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	close(s.asked)
	<-s.release
	return s.Signer.Sign(rand, data)
}

// stuckKeys takes its time, like someone who compares fingerprints.
type stuckKeys struct {
	HostKeys
	asked, release chan struct{}
}

func (s *stuckKeys) Check(ctx context.Context, host string, remote net.Addr, key ssh.PublicKey) error {
	close(s.asked)
	<-s.release
	return s.HostKeys.Check(ctx, host, remote, key)
}

// TestCancel ends the dialling in every phase, at the first hop and behind it.
func TestCancel(t *testing.T) {
	ctrlC := errors.New("ctrl-c")
	for _, tt := range []struct {
		name  string
		hops  []int // in which hop the dialling is in that phase
		setup func(t *testing.T, w *way, last *Hop, opts *Options) (reached <-chan struct{})
	}{
		{"connect", []int{0}, func(t *testing.T, w *way, last *Hop, opts *Options) <-chan struct{} {
			reached := make(chan struct{})
			opts.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				close(reached)
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return reached
		}},
		{"greeting", []int{0, 1, 2}, func(t *testing.T, w *way, last *Hop, opts *Options) <-chan struct{} {
			reached := make(chan struct{})
			last.Addr = sshtest.ServeTCP(t, func(conn net.Conn) { close(reached); silent(conn) })
			return reached
		}},
		{"host key", []int{0, 1, 2}, func(t *testing.T, w *way, last *Hop, opts *Options) <-chan struct{} {
			s := &stuckKeys{last.HostKeys, make(chan struct{}), make(chan struct{})}
			t.Cleanup(func() { close(s.release) })
			last.HostKeys = s
			return s.asked
		}},
		{"signature", []int{0, 1, 2}, func(t *testing.T, w *way, last *Hop, opts *Options) <-chan struct{} {
			s := &stuckSigner{last.Signer, make(chan struct{}), make(chan struct{})}
			t.Cleanup(func() { close(s.release) })
			last.Signer = s
			return s.asked
		}},
		{"account", []int{0, 1, 2}, func(t *testing.T, w *way, last *Hop, opts *Options) <-chan struct{} {
			reached, release := make(chan struct{}), make(chan struct{})
			s := sshtest.Start(t, sshtest.Config{
				Keys:    []ssh.PublicKey{last.Signer.PublicKey()},
				Account: func(string) error { close(reached); <-release; return nil },
			})
			t.Cleanup(func() { close(release) })
			last.Addr, last.HostKeys = s.Addr(), PinnedKeys(s.HostKey())
			return reached
		}},
		{"open", []int{1, 2}, func(t *testing.T, w *way, last *Hop, opts *Options) <-chan struct{} {
			reached, release := make(chan struct{}), make(chan struct{})
			s := sshtest.Start(t, sshtest.Config{
				Keys: []ssh.PublicKey{last.Signer.PublicKey()},
				Dial: func(string, string) (net.Conn, error) { close(reached); <-release; return nil, io.EOF },
			})
			t.Cleanup(func() { close(release) })
			w.hops[len(w.hops)-2].Addr, w.hops[len(w.hops)-2].HostKeys = s.Addr(), PinnedKeys(s.HostKey())
			return reached
		}},
	} {
		for _, n := range tt.hops {
			t.Run(fmt.Sprintf("%s/%d", tt.name, n), func(t *testing.T) {
				w := newWay(t, n+1, nil)
				var opts Options
				reached := tt.setup(t, w, &w.hops[n], &opts)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				done := make(chan error)
				go func() {
					c, err := Dial(ctx, w.hops, opts)
					if err == nil {
						_ = c.Close()
					}
					done <- err
				}()
				<-reached
				cancel(ctrlC)
				if err := waittest.Receive(t, 5*time.Second, "the end of Dial", done); !errors.Is(err, ctrlC) {
					t.Error(err)
				}
				w.emptied(t)
			})
		}
	}
}

// TestPatience: the time that a person takes is not the hop's.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := sshtest.NewKey(t)
		s := sshtest.New(t, sshtest.Config{Keys: []ssh.PublicKey{key.PublicKey()}})
		hop := Hop{Name: "ela", Addr: "ela:22", User: "alice", Signer: key}
		k, err := parseKnownHosts("", nil)
		if err != nil {
			t.Fatal(err)
		}
		k.ask = func(context.Context, Question) (bool, error) {
			time.Sleep(time.Hour) //nolint:forbidigo // of the bubble's time
			return true, nil
		}
		hop.HostKeys = k
		began := time.Now()
		told := make(chan time.Duration, 2)
		asking := func() { told <- time.Since(began) }
		c, err := Dial(t.Context(), []Hop{hop}, Options{NetDial: inMemory(t, s), Asking: asking})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if time.Since(began) < time.Hour {
			t.Error("nobody was asked")
		}
		if n, after := len(told), <-told; n != 1 || after != userPromptThreshold {
			t.Errorf("told %d times that somebody is asked, first after %v", n, after)
		}
	})
}

// TestNobodyAsked: a list of hosts and a key answer at once.
func TestNobodyAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := sshtest.NewKey(t)
		s := sshtest.New(t, sshtest.Config{Keys: []ssh.PublicKey{key.PublicKey()}})
		hop := Hop{Name: "ela", Addr: "ela:22", User: "alice", Signer: key, HostKeys: PinnedKeys(s.HostKey())}
		c, err := Dial(t.Context(), []Hop{hop}, Options{NetDial: inMemory(t, s), Asking: func() { t.Error("told that somebody is asked") }})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.Sleep(time.Minute) //nolint:forbidigo // of the bubble's time
	})
}

// inMemory makes connections to s without a network.
func inMemory(t *testing.T, s *sshtest.Server) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := sshtest.Pipe()
		var serving sync.WaitGroup
		serving.Go(func() { s.Serve(far) })
		t.Cleanup(func() { _ = far.Close(); serving.Wait() })
		return near, nil
	}
}

// TestImpatientServer: the server hangs up while someone thinks. They are not
// asked again.
func TestImpatientServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := sshtest.NewKey(t)
		s := sshtest.New(t, sshtest.Config{Keys: []ssh.PublicKey{key.PublicKey()}})
		k, err := parseKnownHosts("", nil)
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		k.ask = func(context.Context, Question) (bool, error) {
			asked++
			time.Sleep(3 * time.Minute) //nolint:forbidigo // of the bubble's time
			s.Cut()
			return true, nil
		}
		c, err := Dial(t.Context(), []Hop{{Name: "ela", Addr: "ela:22", Signer: key, HostKeys: k}}, Options{NetDial: inMemory(t, s)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

func TestObserve(t *testing.T) {
	var seen []string
	w := newWay(t, 3, nil)
	opts := Options{Observe: func(hop string, connected bool) { seen = append(seen, fmt.Sprint(hop, connected)) }}
	c := dial(t, w.hops[:2], opts)
	long, err := c.Extend(t.Context(), w.hops[2])
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	want := []string{"elafalse", "elatrue", "daintfalse", "dainttrue", "nid001001false", "nid001001true"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestNothingToDial(t *testing.T) {
	if _, err := Dial(t.Context(), nil, Options{}); err == nil {
		t.Error("dialled nothing")
	}
	w := newWay(t, 1, nil)
	w.hops[0].HostKeys = nil
	if _, err := Dial(t.Context(), w.hops, Options{}); err == nil {
		t.Error("dialled without a host key")
	}
}
