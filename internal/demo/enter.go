package demo

import (
	"cmp"
	"io"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sshserver"
)

// serveNodeSSH answers the verb enter, the way to a node whose own sshd refuses the user. It
// serves SSH as a job step's sshd does, with the host key and the user's key that the client
// has made.
func (k *call) serveNodeSSH() {
	node := k.Get("node")
	if k.Get("guest") == "" && k.findSession() == nil {
		k.writeError("gone", "the session's directory no longer exists on the cluster")
		return
	}
	number := cmp.Or(k.Get("job"), k.c.ctl.jobOn(node))
	j := k.c.ctl.findJob(number)
	if j == nil || k.c.nodes[node] == nil || k.c.ctl.stateOf(number) != "RUNNING" {
		k.writeError("nojob", "no job of yours runs on "+node)
		return
	}
	hostKey, hostErr := ssh.ParsePrivateKey([]byte(k.Get("host_key")))
	userKey, _, _, _, userErr := ssh.ParseAuthorizedKey([]byte(k.Get("user_key")))
	if err := cmp.Or(hostErr, userErr); err != nil {
		k.writeError("home", err.Error())
		return
	}
	server, err := sshserver.New(sshserver.Config{
		HostKeys: []ssh.Signer{hostKey}, Keys: []ssh.PublicKey{userKey}, Dial: dialLoopback,
		Exec: func(cmd string, stdin io.Reader, stdout, stderr io.Writer) int {
			return k.c.exec(node, cmd, stdin, stdout, stderr)
		},
	})
	if err != nil {
		k.writeError("home", err.Error())
		return
	}
	k.writeLine("stream")
	here, there := sshserver.Pipe()
	k.c.tasks.Go(func() { // the step ends with its stream, or with its job
		defer func() { _ = here.Close() }()
		_, _ = io.Copy(here, k.in)
	})
	go func() {
		l := k.c.ctl.snapshotJob(j)
		for l.state == "RUNNING" {
			<-l.changed
			l = k.c.ctl.snapshotJob(j)
		}
		_ = here.Close()
	}()
	k.c.tasks.Go(func() { server.Serve(there) })
	_, _ = io.Copy(k.out, here)
	server.Close()
}
