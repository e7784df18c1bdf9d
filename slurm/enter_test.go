package slurm

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// A doorway is an entrance into a job that runs, and the keys to it.
type doorway struct {
	SSHDStep
	t       *testing.T
	cluster *slurmtest.Cluster
	run     *run
	login   string // the user
	host    ssh.PublicKey
	user    ssh.Signer
}

func newDoorway(t *testing.T, f *slurmtest.Cluster) *doorway {
	t.Helper()
	_, login := sshtest.NeedSSHD(t)
	d := &doorway{t: t, cluster: f, login: login, user: sshtest.NewKey(t)}
	d.run = submit(t.Context(), t, f, &Submission{ID: testID(t), Launch: Launch{Argv: []string{"sleep", "60"}}})
	alive := await[Alive](d.run)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if d.host, err = ssh.NewPublicKey(public); err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	d.SSHDStep = SSHDStep{
		ID: testID(t), Job: alive.Job, Node: alive.Node, HostKey: pem.EncodeToMemory(block),
		UserKey: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(d.user.PublicKey()))),
	}
	return d
}

func (d *doorway) open() (net.Conn, error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 30*time.Second)
	defer cancel()
	conn, err := d.Open(ctx, d.cluster)
	if err == nil {
		d.t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

// client opens the way and speaks ssh over it, with that key.
func (d *doorway) client(key ssh.Signer) (*ssh.Client, error) {
	d.t.Helper()
	conn, err := d.open()
	if err != nil {
		d.t.Fatal(err)
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, d.Node, &ssh.ClientConfig{
		User: d.login, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.FixedHostKey(d.host), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if err != nil {
		return nil, err
	}
	client := ssh.NewClient(c, chans, reqs)
	d.t.Cleanup(func() { _ = client.Close() })
	return client, nil
}

// steps waits until so many sruns run: the fake one ends with its step.
func (d *doorway) steps(n int) {
	d.t.Helper()
	waittest.Until(d.t, 20*time.Second, fmt.Sprintf("%d sruns run", n), func() bool { return d.cluster.Running("/srun ") == n })
}

// OpenSSH's own server in a step carries commands and connections, byte for byte, and
// ends with the stream.
func TestEntrance(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	d := newDoorway(t, f)
	client, err := d.client(d.user)
	if err != nil {
		t.Fatal(err)
	}
	d.steps(1)

	s, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdin = strings.NewReader("\x00\x01\r\n\xff and so on")
	if out, err := s.Output("cat; echo $SLURM_JOB_ID >&2"); err != nil || string(out) != "\x00\x01\r\n\xff and so on" {
		t.Errorf("a command printed %q, %v", out, err)
	}

	l, _ := listen(t, "127.0.0.1:0")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
				_ = c.(*net.TCPConn).CloseWrite()
			}()
		}
	}()
	sent := make([]byte, 30<<20)
	_, _ = rand.Read(sent)
	conn, err := client.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
	}()
	if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}

	// It forwards to the node's ports, and makes none of its own; it gives no terminal.
	if l, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = l.Close()
		t.Error("it listens for us on the node")
	}
	if s, err = client.NewSession(); err != nil {
		t.Fatal(err)
	}
	if s.RequestPty("xterm", 24, 80, nil) == nil {
		t.Error("it gives a terminal")
	}
	_ = client.Close()
	d.steps(0)
	stopFake(t, f, Stopping{ID: d.ID})
}

// What it needs is the user's alone to read, and nobody else's key opens it.
func TestEntranceIsOurs(t *testing.T) {
	t.Parallel()
	f := slurmtest.New(t)
	d := newDoorway(t, f)
	if client, err := d.client(sshtest.NewKey(t)); err == nil {
		_ = client.Close()
		t.Error("another key was let in")
	}
	d.steps(0)
	files := 0
	err := filepath.WalkDir(filepath.Join(f.Home, ".cscs"), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		if strings.Contains(path, "/sshd-") && !e.IsDir() {
			files++
		}
		return err
	})
	if err != nil || files != 3 {
		t.Errorf("%d files, %v", files, err)
	}
	for line := range strings.Lines(f.Calls()) {
		if strings.Contains(line, "PRIVATE") || strings.Contains(line, "ssh-ed25519") {
			t.Errorf("a key on a command line: %s", line)
		}
	}
	stopFake(t, f, Stopping{ID: d.ID})
}

// What start-up files print, there and on the node, is no part of the stream.
func TestEntrancePassesOverNoise(t *testing.T) {
	t.Parallel()
	noise := filepath.Join(t.TempDir(), "noise")
	if err := os.WriteFile(noise, []byte("echo welcome; echo stream; echo SSH-2.0-noise\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := slurmtest.New(t)
	d := newDoorway(t, f)
	f.Setenv("BASH_ENV=" + noise)
	if _, err := d.client(d.user); err != nil {
		t.Error(err)
	}
}

func TestEntranceFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(d *doorway)
		kind  string // of the RemoteError; "": a StepError
		words string
	}{
		{"no sshd", func(d *doorway) { d.cluster.Setenv("CSCS_SSHD_DIRS=/nowhere:bin") }, "nosshd", "no sshd on nid001001 (searched /nowhere, bin)"},
		{"no step", func(d *doorway) { d.cluster.Setenv("FAKE_SRUN_FAILS=Unable to create step") }, "", "Unable to create step"},
		{"no directory", func(d *doorway) {
			if err := os.RemoveAll(filepath.Join(d.cluster.Home, ".cscs")); err != nil {
				d.t.Fatal(err)
			}
		}, "gone", "no longer exists"},
		{"no shell", func(d *doorway) { d.cluster.Setenv("PATH=/nowhere") }, "shell", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDoorway(t, slurmtest.New(t))
			tt.spoil(d)
			_, err := d.open()
			var remote *RemoteError
			var step *StepError
			switch {
			case err == nil || !strings.Contains(err.Error(), tt.words):
				t.Errorf("got %v", err)
			case tt.kind != "" && (!errors.As(err, &remote) || remote.Kind != tt.kind):
				t.Errorf("got %#v", err)
			case tt.kind == "" && (!errors.As(err, &step) || step.Job != d.Job):
				t.Errorf("got %#v", err)
			}
		})
	}
}

// A mute is a host that does not answer.
type mute struct{ closed chan struct{} }

func (m mute) Start(context.Context, string, io.Writer) (net.Conn, error) {
	here, there := net.Pipe()
	go func() {
		defer close(m.closed)
		_, _ = io.Copy(io.Discard, there)
	}()
	return here, nil
}

func TestEntranceGivenUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	m := mute{make(chan struct{})}
	time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
	if _, err := (SSHDStep{ID: testID(t)}).Open(ctx, m); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	<-m.closed
}
