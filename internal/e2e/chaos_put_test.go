//go:build lab

package e2e

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// put gives alice all of it for the length of the test.
func (u userSetup) put(t *testing.T, n *neighbours) {
	t.Helper()
	if s := u.file(); s.name != "" {
		loginShell(t, s.shell)
		s.put(t)
	}
	if len(u.software.files) > 0 {
		mkdir(t, clusterHome(".edf"))
	}
	for path, text := range u.software.files {
		edf(t, path, text)
	}
	u.keys.put(t, n)
}

// put puts alice's key where the round has it. Her processes for it are known to the neighbours from then on.
func (k keySetup) put(t *testing.T, n *neighbours) {
	t.Helper()
	n.users, n.env = map[int]procFacts{}, nil
	t.Cleanup(func() {
		if n.agent != nil {
			n.agent.kill()
		}
		n.users, n.agent, n.env = nil, nil, nil
	})
	key := laptopHome(".ssh/cscs-key")
	switch k {
	case keyEncrypted, keyInAgent, keyOthers:
		put(t, key, readFile(t, key), 0o600) // as it was, in the end
		output(t, "alice", "laptop", "ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", ".ssh/cscs-key")
		mkdir(t, laptopHome("agent"))
		put(t, laptopHome("agent/askpass"), "#!/bin/sh\necho '"+passphrase+"'\n", 0o755)
		for _, suffix := range []string{"", "-cert.pub"} {
			put(t, laptopHome("agent/key"+suffix), readFile(t, key+suffix), 0o600)
		}
		if k == keyOthers {
			output(t, "alice", "laptop", "sh", "-ec", "cd agent; for k in other_ca other; do ssh-keygen -q -t ed25519 -N '' -f $k; done; ssh-keygen -q -s other_ca -I alice -n alice -V +1d other.pub")
		}
		if k == keyInAgent {
			hide(t, key)
		}
		n.env = []string{"SSH_AUTH_SOCK=" + agentSocket}
		k.revive(t, n)
	case keyBeside:
		for _, suffix := range []string{"", ".pub"} {
			from, to := key+suffix, laptopHome(".ssh/id_ed25519"+suffix)
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.Rename(to, from); err != nil {
					t.Error(err)
				}
			})
		}
	case keyMaster:
		t.Cleanup(func() { // what a fault has left of that ssh
			for pid, p := range n.users {
				if p.began == beganAt(pid) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			if left := poll(patience, func() string { return n.usersLeft() }); left != "" {
				t.Errorf("killed, and there is: %s", left)
			}
			sockets, _ := filepath.Glob(laptopHome(".ssh/control-*"))
			for _, s := range sockets {
				_ = os.Remove(s)
			}
		})
		n.adopt(func() { sshLoggedIn(t) })
	}
}

// passphrase is that of alice's encrypted key.
const passphrase = "correct horse"

// revive starts the agent, and gives it what it had, as after each boot of the laptop.
func (k keySetup) revive(t *testing.T, n *neighbours) {
	t.Helper()
	if !k.hasAgent() {
		return
	}
	_ = os.Remove(laptopHome("agent/sock"))
	n.adopt(func() {
		n.agent = startAgent(n.t) // what ends the round needs it, after all that the round has started itself
		if k == keyOthers {       // first in the agent's list
			output(t, "alice", "laptop", n.env[0], "ssh-add", "-q", "agent/other")
		}
		output(t, "alice", "laptop", n.env[0], "SSH_ASKPASS=/home/alice/agent/askpass", "SSH_ASKPASS_REQUIRE=force", "ssh-add", "-q", "agent/key")
	})
}

// adopt takes the processes that begin starts for the user's own.
func (n *neighbours) adopt(begin func()) {
	before := map[int]string{}
	for _, p := range n.otherProcesses() {
		before[p.pid] = beganAt(p.pid)
	}
	begin()
	for _, p := range n.otherProcesses() {
		if began := beganAt(p.pid); before[p.pid] != began {
			n.users[p.pid] = procFacts{p, began}
		}
	}
}

// usersLeft are the user's processes that live.
func (n *neighbours) usersLeft() string {
	var left []string
	for pid, p := range n.users {
		if p.began == beganAt(pid) {
			left = append(left, p.String())
		}
	}
	slices.Sort(left)
	return strings.Join(left, "\n")
}

// lostByUser tells that the user's agent, or ssh, is gone, and no fault has taken it.
func (c *chaos) lostByUser() string {
	if c.gone.hosts["laptop"] {
		return ""
	}
	k := c.plan.user.keys
	if k.hasAgent() {
		if out, err := try(c.t, "alice", "laptop", append(slices.Clone(c.beside.env), "ssh-add", "-l")...); err != nil {
			return fmt.Sprintf("the user's agent: %v: %s", err, out)
		}
	}
	if k == keyMaster && !c.crashed && !c.gone.onLogin && !c.gone.onJump {
		if out, err := try(c.t, "alice", "laptop", "ssh", "-O", "check", "daint"); err != nil {
			return fmt.Sprintf("the user's ssh: %v: %s", err, out)
		}
	}
	return ""
}

// cscs starts cscs with what the round's user has in the environment.
func (c *chaos) cscs(words ...string) *session {
	return cscs(c.t, append(append(slices.Clone(c.beside.env), floor), words...)...)
}

// inspect sees once that the server has what the user's set-up asks: the place where it runs, the presets, and
// the umask for what it makes. What cscs itself makes is for the user alone, whatever the umask.
func (c *chaos) inspect(url string) {
	if c.inspected {
		return
	}
	c.inspected = true
	u, dir := c.plan.user, ".cscs/daint/"+c.id()
	wrong := func(format string, args ...any) { c.t.Helper(); c.total.wrong(c.t, unlikeUser, format, args...) }
	if at := about(c.t, url)["dir"]; at != u.software.dir {
		wrong("it runs in %q, want %s", at, u.software.dir)
	}
	env := serverEnv(c.t, url)
	if path := env["PATH"]; u.software.image != "" && path != u.software.path || !strings.HasPrefix(path, u.software.path) {
		wrong("its PATH is %q, want %s", path, u.software.path)
	}
	for _, v := range u.reach() {
		if name, value, _ := strings.Cut(v, "="); env[name] != value {
			wrong("the server does not have the user's %s, but %q", v, env[name])
		}
	}
	if g, ok := c.s.find("granted"); ok && (g.Partition != c.plan.partition || env["SLURM_JOB_ID"] != g.Job) {
		wrong("job %s in partition %s, want %s; the server has job %q", g.Job, g.Partition, c.plan.partition, env["SLURM_JOB_ID"])
	}
	// The one directory that is in every container.
	if code, made := get(c.t, url+"make?dir=/home/alice/"+dir); code != http.StatusOK || strings.TrimSpace(made) != u.modes() {
		wrong("what it makes has the modes %d %q, want %s", code, made, u.modes())
	}
	files := 0
	_ = filepath.WalkDir(clusterHome(dir), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&fs.ModeSymlink != 0 {
			return nil
		}
		files++
		if uid := info.Sys().(*syscall.Stat_t).Uid; info.Mode().Perm()&0o077 != 0 || uid != labctl.AliceUID {
			wrong("%s has mode %v and uid %d", path, info.Mode(), uid)
		}
		return nil
	})
	if files < 2 {
		wrong("there is nothing in %s", dir)
	}
}
