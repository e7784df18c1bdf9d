package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/app"
	"github.com/alps-tunnel/cscs/internal/slurmtest"
	"github.com/alps-tunnel/cscs/internal/sshtest"
	"github.com/alps-tunnel/cscs/internal/waittest"
)

// foreignServerEnv makes of the test binary a server of another user at that address, which prints
// its address, and then how many bytes each connection has brought.
const foreignServerEnv = "CSCS_TEST_FOREIGN_SERVER"

func TestMain(m *testing.M) {
	if addr := os.Getenv(foreignServerEnv); addr != "" {
		serveForeign(addr)
		return
	}
	goleak.VerifyTestMain(m)
}

func serveForeign(addr string) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		panic(err)
	}
	fmt.Println(ln.Addr())
	for {
		c, err := ln.Accept()
		if err != nil {
			panic(err)
		}
		n, _ := io.Copy(io.Discard, c)
		fmt.Println(n)
		_ = c.Close()
	}
}

// An alps is a way through ela to a login node with the recorded Slurm, and to the
// one node that it has; all on this machine.
type alps struct {
	*slurmtest.Cluster
	t                *testing.T
	signer           ssh.Signer
	ela, login, node *sshtest.Server
	refuse           func() error                  // of the node's account check
	nodeLine         string                        // the address by which the node is reached, if not its own
	forbids          atomic.Bool                   // the node's sshd forwards no connections
	closed           func() error                  // to connections from the login node to the node
	unresolved       bool                          // the login node does not know the node's name, but reaches its address
	me               string                        // the user that an sshd in a job step lets in
	broken           atomic.Bool                   // the login shells end before they run anything
	failedShells     atomic.Int32                  // how many of the login node's did
	hang             atomic.Pointer[chan struct{}] // they wait for it before
	hung             atomic.Int32                  // how many do
	away             atomic.Int32                  // so many connections to the login node fail
}

func newAlps(t *testing.T, env ...string) *alps {
	t.Helper()
	a := &alps{Cluster: slurmtest.New(t, env...), t: t, signer: sshtest.NewKey(t)}
	keys := []ssh.PublicKey{a.signer.PublicKey()}
	a.node = sshtest.Start(t, sshtest.Config{Keys: keys, Exec: a.shell, Account: func(string) error {
		if a.refuse != nil {
			return a.refuse()
		}
		return nil
	}, Dial: func(network, to string) (net.Conn, error) {
		if a.forbids.Load() {
			return nil, &ssh.OpenChannelError{Reason: ssh.Prohibited, Message: "open failed"} // as sshd has it
		}
		return net.Dial(network, to)
	}})
	_, a.me = sshtest.NeedSSHD(t)
	reach := a.hosts("nid001001:22", a.node.Addr())
	a.login = sshtest.Start(t, sshtest.Config{Keys: keys, Exec: a.loginShell, Dial: func(network, to string) (net.Conn, error) {
		if a.closed != nil {
			if err := a.closed(); err != nil {
				return nil, err
			}
		}
		if a.unresolved {
			switch to {
			case "nid001001:22":
				return nil, errors.New("Name or service not known") // as sshd has it, by gai_strerror(3)
			case "192.0.2.1:22":
				to = "nid001001:22"
			}
		}
		return reach(network, to)
	}})
	lead := a.hosts("daint:22", a.login.Addr())
	a.ela = sshtest.Start(t, sshtest.Config{Keys: keys, Dial: func(network, to string) (net.Conn, error) {
		if a.away.Add(-1) >= 0 {
			return nil, errors.New("no route to " + to)
		}
		return lead(network, to)
	}})
	return a
}

// shell is the login shell of both hosts.
func (a *alps) shell(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
	if hang := a.hang.Load(); hang != nil {
		a.hung.Add(1)
		defer a.hung.Add(-1)
		<-*hang
	}
	if a.broken.Load() {
		return 1
	}
	err := a.Exec(context.Background(), cmd, stdin, stdout, stderr)
	var status slurmtest.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return status.ExitStatus()
	}
	return 255
}

// loginShell is that of the login node.
func (a *alps) loginShell(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
	if a.broken.Load() {
		defer a.failedShells.Add(1)
	}
	return a.shell(cmd, stdin, stdout, stderr)
}

// hosts is the network of one host: it reaches one other.
func (a *alps) hosts(name, addr string) func(string, string) (net.Conn, error) {
	return func(network, to string) (net.Conn, error) {
		if to != name {
			return nil, errors.New("no route to " + to)
		}
		if name == "nid001001:22" && a.nodeLine != "" {
			addr = a.nodeLine
		}
		return net.Dial(network, addr)
	}
}

func (a *alps) hops() []chain.Hop {
	return []chain.Hop{
		{Name: "ela", Addr: a.ela.Addr(), User: "alice", Signer: a.signer, HostKeys: chain.PinnedKeys(a.ela.HostKey())},
		{Name: "daint", Addr: "daint:22", User: "alice", Signer: a.signer, HostKeys: chain.PinnedKeys(a.login.HostKey())},
	}
}

// nodeHop: the runner reads the host keys of this machine; those of the test's node
// are others. That the right ones are pinned, the lab shows.
func (a *alps) nodeHop(node string, _ chain.HostKeys) chain.Hop {
	return chain.Hop{Name: node, Addr: node + ":22", User: a.me, Signer: a.signer, HostKeys: chain.PinnedKeys(a.node.HostKey())}
}

const webServer = `
import http.server, signal, sys
if sys.argv[2] == "stubborn": signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("serving", flush=True)
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind="127.0.0.1")
`

func server(manner string) app.App {
	return app.App{Name: "run", Argv: []string{"python3", "-c", webServer, "{port}", manner}, Path: "/"}
}

// A life is one session under way.
type life struct {
	t                 *testing.T
	cfg               Config
	interrupt         context.CancelCauseFunc
	endGrace, abandon context.CancelFunc
	events            chan Event
	done              chan struct{}
	err               error

	mu  sync.Mutex
	all []Event
}

func (a *alps) config() Config {
	return Config{
		ID: NewID(), Cluster: "daint", Hops: a.hops(), NodeHop: a.nodeHop, App: server("meek"),
		QueueTimeout: time.Minute, StartTimeout: 30 * time.Second, LogDir: a.t.TempDir(),
		Explain: func(err error) Explanation {
			code := 1
			if errors.Is(err, ErrInterrupted) {
				code = 130
			}
			return Explanation{Message: err.Error(), Code: code}
		},
	}
}

func (a *alps) start(cfg Config) *life {
	a.t.Helper()
	return a.live(cfg, Run)
}

// live carries a session on as run does.
func (a *alps) live(cfg Config, run func(context.Context, Config, func(Event)) error) *life {
	a.t.Helper()
	ctx, interrupt := context.WithCancelCause(context.Background())
	grace, endGrace := context.WithCancel(context.Background())
	abandon, abandonNow := context.WithCancel(context.Background())
	cfg.Grace, cfg.Abandon = grace, abandon
	l := &life{t: a.t, cfg: cfg, interrupt: interrupt, endGrace: endGrace, abandon: abandonNow,
		events: make(chan Event, 1000), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		defer close(l.events)
		l.err = run(ctx, cfg, func(e Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.all = append(l.all, e)
			l.events <- e
		})
	}()
	a.t.Cleanup(func() {
		if a.t.Failed() {
			a.t.Logf("events: %s", l.names())
		}
		interrupt(ErrInterrupted)
		endGrace()
		<-l.done
		abandonNow()
	})
	return l
}

// await returns the next event of that name.
func (l *life) await(name string) Event {
	l.t.Helper()
	deadline := time.NewTimer(time.Minute) // only a test that hangs reaches it
	defer deadline.Stop()
	for {
		select {
		case e, ok := <-l.events:
			if !ok {
				<-l.done
				l.t.Fatalf("the session ended (%v) before %q: %s", l.err, name, l.names())
			}
			if e.Event == name {
				return e
			}
		case <-deadline.C:
			l.t.Fatalf("no %q came: %s", name, l.names())
		}
	}
}

// end waits for the end and returns the error, after checking what always holds.
func (l *life) end() error {
	l.t.Helper()
	waittest.Receive(l.t, 40*time.Second, "the end of the session", l.done)
	names := strings.Fields(l.names())
	if len(names) == 0 || names[len(names)-1] != EventEnded || strings.Count(l.names(), EventEnded) != 1 {
		l.t.Errorf("ended is not the last event, once: %s", names)
	}
	checkEvents(l.t, l.all)
	return l.err
}

func (l *life) names() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, e := range l.all {
		names = append(names, e.Event)
	}
	return strings.Join(names, " ")
}

func jsonOf(e Event) (string, error) {
	b, err := json.Marshal(e)
	return string(b), err
}

// lateServer is a server that listens when the file is there.
func lateServer(file string) []string {
	return []string{"bash", "-c", `until [[ -e $1 ]]; do sleep 0.05; done; exec python3 -c "$2" "$3" meek`, "late", file, webServer, "{port}"}
}

// endReady interrupts a session that is ready, and sees to it that it ends as asked.
func (l *life) endReady() {
	l.t.Helper()
	l.interrupt(ErrInterrupted)
	if err := l.end(); err != nil {
		l.t.Errorf("ended with %v", err)
	}
}

func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
