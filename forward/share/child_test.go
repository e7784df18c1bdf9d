//go:build linux || darwin

package share

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/sshtest"
)

// childEnv has this program, started again, be a process that shares: it does what the lines on
// its standard input say and answers each with a line.
const childEnv = "CSCS_SHARE_CHILD"

type childConfig struct {
	Place Rendezvous
	Hops  []childHop
}

type childHop struct{ Name, Addr, HostKey string }

// newOpenSite is a site that lets any key in, so that a process can make its own.
func newOpenSite(t testing.TB) *site {
	t.Helper()
	return newSite(t, func(_ int, c *sshtest.Config) { c.Anyone = true })
}

// logins counts the connections that were made to the last hop.
func (s *site) logins() (n int) {
	for _, addr := range s.servers[0].Dialled() {
		if addr == s.hops[1].Addr {
			n++
		}
	}
	return n
}

// A process is one of ours, from the test's side.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

func (s *site) process(t testing.TB, change ...func(*exec.Cmd)) *process {
	t.Helper()
	config := childConfig{Place: s.place}
	for i, hop := range s.hops {
		key := string(ssh.MarshalAuthorizedKey(s.servers[i].HostKey()))
		config.Hops = append(config.Hops, childHop{hop.Name, hop.Addr, key})
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	for _, f := range change {
		f(cmd)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, stdin: stdin, stdout: bufio.NewReader(stdout)}
	t.Cleanup(func() {
		_ = stdin.Close()
		timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		_ = cmd.Wait()
	})
	return p
}

// say has the process do something; answer is what came of it.
func (p *process) say(words ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, strings.Join(words, " ")+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) answer() string {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	text, err := p.stdout.ReadString('\n')
	if err != nil {
		return "no answer: " + err.Error()
	}
	return strings.TrimSpace(text)
}

func (p *process) want(want string, words ...string) {
	p.t.Helper()
	p.say(words...)
	if got := p.answer(); got != want {
		p.t.Fatalf("%q: answered %q, want %q", words, got, want)
	}
}

func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
}

// child is such a process from within.
func child() {
	var config childConfig
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &config); err != nil {
		fmt.Println(err)
		return
	}
	p := &childProcess{config: config}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Fields(in.Text())
		fmt.Println(p.do(words[0], strings.Join(words[1:], " ")))
	}
}

type childProcess struct {
	config   childConfig
	now, old *Chain
	flow     chan error
}

func (p *childProcess) do(verb, arg string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch verb {
	case "dial":
		c, err := Dial(ctx, p.config.Place, chain.Options{}, p.dial)
		if err != nil {
			return err.Error()
		}
		p.old, p.now = p.now, c
		switch {
		case c.Joined():
			return "joined"
		case c.Alone() != nil:
			return "alone: " + c.Alone().Error()
		}
		return "owner"
	case "exec":
		var out bytes.Buffer
		if err := p.now.Exec(ctx, arg, nil, &out, nil); err != nil {
			return err.Error()
		}
		return strings.TrimSpace(out.String())
	case "flow": // a connection that is read from until it ends
		conn, err := p.now.DialContext(ctx, "tcp", arg)
		if err != nil {
			return err.Error()
		}
		if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
			return err.Error()
		}
		p.flow = make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, conn)
			_ = conn.Close()
			p.flow <- err
		}()
		return "flowing"
	case "flowed":
		return fmt.Sprint(<-p.flow)
	case "lost":
		<-p.now.Done()
		var lost *chain.LostError
		if !errors.As(p.now.Err(), &lost) {
			return fmt.Sprint(p.now.Err())
		}
		return lost.Hop
	case "leaving":
		<-p.now.Leaving()
		return "leaving"
	case "retire":
		p.old.Retire()
		return "retired"
	case "leave":
		return fmt.Sprint(p.now.Leave(ctx), " left")
	case "close":
		return fmt.Sprint(p.now.Close())
	case "connect": // to a socket, of whomever it is
		conn, err := net.Dial("unix", arg)
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		got, _ := io.ReadAll(conn)
		return fmt.Sprintf("%d bytes", len(got))
	case "listen": // on a socket
		if _, err := net.Listen("unix", arg); err != nil {
			return err.Error()
		}
		return fmt.Sprint(os.Chmod(arg, 0o666))
	}
	return "what?"
}

func (p *childProcess) dial(ctx context.Context, opts chain.Options) (*chain.Chain, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	var hops []chain.Hop
	for _, h := range p.config.Hops {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h.HostKey))
		if err != nil {
			return nil, err
		}
		hops = append(hops, chain.Hop{Name: h.Name, Addr: h.Addr, User: "alice", Signer: signer, HostKeys: chain.PinnedKeys(key)})
	}
	return chain.Dial(ctx, hops, opts)
}
