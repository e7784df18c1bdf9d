package demo

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshserver"
)

// Name is the name of the cluster, and of its login node in messages.
const Name = "demo"

// The hosts' names inside the cluster. Only the jump host has an address, on the loopback. The
// others are reached through it.
const (
	jumpName  = "ela"
	loginName = "login.demo"
)

var nodeNames = []string{"nid001001", "nid001002"}

// A Cluster is a running embedded cluster.
type Cluster struct {
	dir  string // the cluster writes only below it
	user string

	ca           ssh.Signer
	jump         *sshserver.Server
	login        *sshserver.Server
	nodes        map[string]*sshserver.Server
	keys         map[string]ssh.Signer // the host keys, by host name
	jumpListener net.Listener          // of the jump host

	ctl   *controller
	tasks sync.WaitGroup // connections and runners

	mu          sync.Mutex
	sessions    map[string]*session
	recentSteps []step // logins that belong to no session yet
	jumpCut     bool
	heldConns   []net.Conn // accepted while the connection is cut
	nodesRefuse bool       // the nodes refuse every SSH login
}

// newCluster starts a cluster whose files are in dir, which only the user may access. The
// cluster calls idle whenever its last job has ended.
func newCluster(dir string, idle func()) (*Cluster, error) {
	c := &Cluster{dir: dir, user: userName(), nodes: map[string]*sshserver.Server{}, keys: map[string]ssh.Signer{}, sessions: map[string]*session{}}
	c.ctl = newController(nodeNames, idle)
	if err := os.MkdirAll(c.homeDir(), 0o700); err != nil {
		return nil, err
	}
	if err := c.makeKeys(); err != nil {
		return nil, err
	}
	if err := c.makeHosts(); err != nil {
		return nil, err
	}
	var err error
	if c.jumpListener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil { //nolint:noctx // it is done at once
		return nil, err
	}
	c.tasks.Go(c.acceptConns)
	return c, nil
}

// homeDir returns the home directory of the cluster's user. It holds the sessions' directories,
// and servers start there by default.
func (c *Cluster) homeDir() string { return filepath.Join(c.dir, "home") }

// userName returns the user's name, changed so that it is valid on Unix, or "you".
func userName() string {
	u, err := user.Current()
	if err != nil {
		return "you"
	}
	name := u.Username[strings.LastIndex(u.Username, `\`)+1:] // Windows: DOMAIN\name
	name = strings.Map(func(r rune) rune {
		if r == ' ' || r == ':' || r == '@' || r == '/' {
			return '_'
		}
		return r
	}, name)
	if name == "" || name[0] == '-' {
		return "you"
	}
	return name
}

// makeHosts makes the SSH server of each host and the network between them: the jump host
// reaches the login node, and the login node the compute nodes. A compute node is this machine,
// and forwards to its loopback only.
func (c *Cluster) makeHosts() error {
	server := func(name string, config sshserver.Config) (*sshserver.Server, error) {
		config.HostKeys = []ssh.Signer{c.keys[name]}
		config.UserCA = c.ca.PublicKey()
		config.Entered = func(ssh.ConnMetadata) { c.recordLogin(name) }
		return sshserver.New(config)
	}
	var err error
	for _, name := range nodeNames {
		c.nodes[name], err = server(name, sshserver.Config{
			Dial:    dialLoopback,
			Account: c.accessCheck(name),
			Exec: func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
				return c.exec(name, cmd, stdin, stdout, stderr)
			},
		})
		if err != nil {
			return err
		}
	}
	c.login, err = server(loginName, sshserver.Config{
		Dial: func(_, addr string) (net.Conn, error) {
			for name, s := range c.nodes {
				if addr == net.JoinHostPort(name, "22") {
					return c.dialServer(s), nil
				}
			}
			return nil, errors.New("no route to " + addr)
		},
		Exec: func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
			return c.exec(loginName, cmd, stdin, stdout, stderr)
		},
	})
	if err != nil {
		return err
	}
	c.jump, err = server(jumpName, sshserver.Config{
		Dial: func(_, addr string) (net.Conn, error) {
			if addr != net.JoinHostPort(loginName, "22") {
				return nil, errors.New("no route to " + addr)
			}
			return c.dialServer(c.login), nil
		},
	})
	return err
}

// dialServer returns a connection to a host inside this process.
func (c *Cluster) dialServer(to *sshserver.Server) net.Conn {
	here, there := sshserver.Pipe()
	c.tasks.Go(func() { to.Serve(there) })
	return here
}

// dialLoopback opens a connection to a port of this machine's loopback. It refuses other
// addresses.
func dialLoopback(network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); network != "tcp" || ip == nil || !ip.IsLoopback() {
		return nil, errors.New("the demo's nodes show the loopback only, not " + addr)
	}
	return net.DialTimeout(network, addr, 10*time.Second) //nolint:noctx // sshserver has none to hand on
}

// accessCheck returns a check that acts as pam_slurm_adopt on a node: it refuses a user without
// a job there.
func (c *Cluster) accessCheck(node string) func(string) error {
	return func(string) error {
		c.mu.Lock()
		turned := c.nodesRefuse
		c.mu.Unlock()
		if turned || c.ctl.jobOn(node) == "" {
			return fmt.Errorf("Access denied by pam_slurm_adopt: you have no active jobs on this node") //nolint:staticcheck // its words
		}
		return nil
	}
}

// acceptConns accepts connections to the jump host until the listener is closed.
func (c *Cluster) acceptConns() {
	for {
		conn, err := c.jumpListener.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		cut := c.jumpCut
		if cut { // the client gets no answer
			c.heldConns = append(c.heldConns, conn)
		}
		c.mu.Unlock()
		if !cut {
			c.tasks.Go(func() { c.jump.Serve(conn) })
		}
	}
}

// Close ends the cluster, its jobs and all that runs in them, and waits until they have ended.
func (c *Cluster) Close() {
	_ = c.jumpListener.Close()
	c.Heal()
	c.ctl.cancelAll()
	c.jump.Close()
	c.login.Close()
	for _, s := range c.nodes {
		s.Close()
	}
	c.tasks.Wait()
}
