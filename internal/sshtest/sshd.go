package sshtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// SSHD is OpenSSH's server, for tests that a server of the client's own library cannot make. It runs
// as the test's user and accepts only that user. Each connection to its port of the loopback gets
// an sshd -i of its own, so no port has to be guessed and no daemon remains.
type SSHD struct {
	Addr     string
	User     string
	HostKeys []ssh.PublicKey // Ed25519, ECDSA, RSA

	dir   string
	tasks sync.WaitGroup
	mu    sync.Mutex
	procs map[*os.Process]bool
	log   bytes.Buffer
}

// SSHDConfig is the behaviour of an SSHD.
type SSHDConfig struct {
	UserCA  ssh.PublicKey   // accept its certificates, for their principals
	Keys    []ssh.PublicKey // accept these keys
	HostCA  ssh.Signer      // certifies the host keys for 127.0.0.1
	Options []string        // further lines of sshd_config, before all others, so they win
}

// NeedSSHD returns sshd's path, and the user that sshd accepts when the test's user runs it. It fails
// the test if there is no sshd (on Debian, apt install openssh-server).
func NeedSSHD(t testing.TB) (program, username string) {
	t.Helper()
	program, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		t.Fatalf("%v: the tests need OpenSSH's server (openssh-server)", err)
	}
	if os.Getuid() == 0 {
		// sshd's start script would create it.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return program, me.Username
}

// StartSSHD starts a server; see NeedSSHD. The server ends with the test.
func StartSSHD(t testing.TB, config SSHDConfig) *SSHD {
	t.Helper()
	program, me := NeedSSHD(t)
	s := &SSHD{User: me, dir: t.TempDir(), procs: map[*os.Process]bool{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = listener.Addr().String()
	file := s.writeFile(t, "sshd_config", s.buildConfig(t, config))
	ctx, cancel := context.WithCancel(context.Background())
	s.tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.tasks.Go(func() { s.serveConn(ctx, conn, program, file) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		cancel()
		s.tasks.Wait()
		if t.Failed() {
			t.Logf("sshd on %s says:\n%s", s.Addr, &s.log)
		}
	})
	return s
}

// serveConn passes one connection to a new sshd.
func (s *SSHD) serveConn(ctx context.Context, conn net.Conn, program, config string) {
	socket, err := conn.(*net.TCPConn).File()
	_ = conn.Close()
	if err != nil {
		return
	}
	cmd := exec.CommandContext(ctx, program, "-i", "-e", "-f", config)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = socket, socket, &lockedWriter{s}
	s.mu.Lock()
	err = cmd.Start()
	_ = socket.Close()
	if err == nil {
		s.procs[cmd.Process] = true
	}
	s.mu.Unlock()
	if err != nil {
		return
	}
	_ = cmd.Wait()
	s.mu.Lock()
	delete(s.procs, cmd.Process)
	s.mu.Unlock()
}

// Kill kills all sshd processes, as a crash would end all connections.
func (s *SSHD) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.procs {
		_ = p.Kill()
	}
}

// Conns returns the number of open connections.
func (s *SSHD) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.procs)
}

type lockedWriter struct{ s *SSHD }

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	return w.s.log.Write(p)
}

// buildConfig returns sshd_config, and writes the files that it names.
func (s *SSHD) buildConfig(t testing.TB, config SSHDConfig) []byte {
	t.Helper()
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, option := range config.Options {
		line("%s", option)
	}
	for i, key := range hostKeys(t) {
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			t.Fatal(err)
		}
		pub := newSigner(t, key).PublicKey()
		s.HostKeys = append(s.HostKeys, pub)
		name := fmt.Sprintf("host%d", i)
		line("HostKey %s", s.writeFile(t, name, pem.EncodeToMemory(block)))
		if config.HostCA != nil {
			cert := HostCert(t, config.HostCA, pub, []string{"127.0.0.1"})
			line("HostCertificate %s", s.writeFile(t, name+"-cert.pub", ssh.MarshalAuthorizedKey(cert)))
		}
	}
	var authorized bytes.Buffer
	for _, key := range config.Keys {
		authorized.Write(ssh.MarshalAuthorizedKey(key))
	}
	line("AuthorizedKeysFile %s", s.writeFile(t, "authorized_keys", authorized.Bytes()))
	if config.UserCA != nil {
		line("TrustedUserCAKeys %s", s.writeFile(t, "user_ca.pub", ssh.MarshalAuthorizedKey(config.UserCA)))
	}
	line("PidFile none")
	line("StrictModes no") // the test's directory may be below a writable /tmp
	line("UsePAM no")
	line("PasswordAuthentication no")
	line("KbdInteractiveAuthentication no")
	line("PermitRootLogin yes")
	line("PermitUserRC no")
	line("LogLevel VERBOSE")
	return b.Bytes()
}

func hostKeys(t testing.TB) []any {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return []any{ed, ec, RSAPrivateKey(t)}
}

func (s *SSHD) writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s: %v", path, err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
