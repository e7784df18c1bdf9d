package demo

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/internal/sessionid"
	"github.com/alps-tunnel/cscs/slurm"
)

// A call is a running verb of the remote half on a host.
type call struct {
	*slurm.ParsedCall
	c     *Cluster
	host  string
	in    *bufio.Reader // the client's input after the script
	lines <-chan string // the lines of in; closed at its end
	out   io.Writer
}

// exec runs a command as a host's login shell would, and returns the exit status. It accepts only
// the command that starts the remote half.
func (c *Cluster) exec(host, command string, stdin io.Reader, stdout, stderr io.Writer) int {
	if !slurm.IsCall(command) {
		fmt.Fprintln(stderr, "the hosts of cscs demo run nothing but cscs's own commands")
		return 127
	}
	in := bufio.NewReader(stdin)
	asked, err := slurm.ReadCall(in)
	if err != nil {
		fmt.Fprintf(stderr, "cscs demo: %v\n", err)
		return 1
	}
	k := &call{ParsedCall: asked, c: c, host: host, in: in, out: stdout}
	_, _ = io.WriteString(stdout, asked.Greeting())
	verb, ok := map[string]func(*call){
		"submit": (*call).submitAndFollow, "follow": (*call).takeUp, "stop": (*call).stopSession, "list": (*call).listSessions,
		"log": (*call).showLog, "find": (*call).findNode, "examine": (*call).examineHost, "look": (*call).watchPort, "enter": (*call).serveNodeSSH,
		"watchjob": (*call).watchJob,
	}[asked.Verb]
	if !ok {
		k.writeError("protocol", "the demo does not know the verb "+asked.Verb)
		return 1
	}
	// The ID becomes a directory name below.
	if id := k.Get("id"); !sessionid.IsID(id) && (id != "" || !mayLackID(asked.Verb)) {
		k.writeError("protocol", (&sessionid.Error{Text: id}).Error())
		return 1
	}
	verb(k)
	return 0
}

// mayLackID reports whether a verb works without a session's ID.
func mayLackID(verb string) bool {
	return slices.Contains([]string{"list", "find", "examine", "look", "enter", "watchjob"}, verb)
}

// writeLine writes a line of the answer. It ignores errors: a client that has gone is noticed by
// the end of its input.
func (k *call) writeLine(kind string, fields ...string) {
	_, _ = io.WriteString(k.out, slurm.Line(kind, fields...))
}

// writeError writes why the verb ends.
func (k *call) writeError(kind, message string) {
	k.writeLine("error", "kind="+kind, "message="+message)
}

// writeHello writes the first line of most answers.
func (k *call) writeHello(dir string) { k.writeLine("hello", "host="+shortName(k.host), "dir="+dir) }

func shortName(host string) string { s, _, _ := strings.Cut(host, "."); return s }

// startLineReader passes the client's lines to k.lines until stop is called.
func (k *call) startLineReader() (stop func()) {
	lines, done := make(chan string), make(chan struct{})
	k.lines = lines
	go func() { // ends with the client's input, at the latest when the host closes the channel
		defer close(lines)
		for {
			line, err := k.in.ReadString('\n')
			if err != nil {
				return
			}
			select {
			case lines <- strings.TrimSuffix(line, "\n"):
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(done) })
}

// sessionDir returns the path of a session's directory.
func (c *Cluster) sessionDir(id string) string {
	return filepath.Join(c.homeDir(), ".cscs", Name, filepath.Base(id))
}

// findSession returns the session of the call, or nil.
func (k *call) findSession() *session {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	return k.c.sessions[k.Get("id")]
}

// findNode answers the verb find: a node's host key, for a tunnel to a server that already runs
// there.
func (k *call) findNode() {
	if k.Get("id") != "" {
		k.findRunner()
		return
	}
	k.writeLine("hello", "host="+shortName(k.host))
	node, number := k.Get("node"), k.Get("job")
	switch {
	case number == "" && node == "":
		var running []string
		for _, l := range k.c.ctl.snapshotUserJobs() {
			k.writeLine("mine", "answer="+l.squeueLine)
			if l.state == "RUNNING" {
				running = append(running, strings.Split(l.squeueLine, "|")[0])
			}
		}
		if len(running) != 1 {
			k.writeLine("which")
			return
		}
		number = running[0]
	case number == "":
		for _, l := range k.c.ctl.snapshotUserJobs() {
			if slices.Contains(strings.Split(l.nodes, ","), node) && l.state == "RUNNING" {
				k.writeLine("on", "job="+strings.Split(l.squeueLine, "|")[0], "answer="+l.locationAnswer(k.c.user))
			}
		}
	}
	if number != "" {
		j := k.c.ctl.findJob(number)
		if j == nil {
			k.writeLine("where", "job="+number, "answer=slurm_load_jobs error: Invalid job id specified")
			return
		}
		l := k.c.ctl.snapshotJob(j)
		k.writeLine("where", "job="+number, "answer="+l.locationAnswer(k.c.user))
		if l.state != "RUNNING" {
			return
		}
		node, _, _ = strings.Cut(l.nodes, ",")
	}
	k.writeLine("node", "node="+node)
	if k.c.nodes[node] == nil {
		k.writeError("unknownnode", "there is no node "+node+" on this cluster")
		return
	}
	k.writeLine("hostkey", "node="+node, "from=ssh_known_hosts", "key="+k.c.hostKey(node))
	k.writeLine("found")
}

// watchJob answers the verb watchjob: it reports a job's state until the job has ended.
func (k *call) watchJob() {
	defer k.startLineReader()()
	number := k.Get("job")
	k.writeLine("hello", "host="+shortName(k.host))
	for told := ""; ; {
		j := k.c.ctl.findJob(number)
		if j == nil {
			k.writeLine("job", "job="+number, "info=slurm_load_jobs error: Invalid job id specified")
			return
		}
		l := k.c.ctl.snapshotJob(j)
		if l.info != told {
			k.writeLine("job", "job="+number, "info="+l.info)
			told = l.info
		}
		if l.state != "RUNNING" {
			return
		}
		select {
		case <-l.changed:
		case _, ok := <-k.lines: // a request to look again; changes are reported at once anyway
			if !ok {
				return
			}
		}
	}
}

// findRunner answers the verb find for a session: the events that say where its runner is.
func (k *call) findRunner() {
	s := k.findSession()
	if s == nil {
		k.writeError("gone", "session "+k.Get("id")+" no longer exists on this cluster")
		return
	}
	s.mu.Lock()
	events := string(s.events)
	s.mu.Unlock()
	for line := range strings.Lines(events) {
		if kind, _, _ := strings.Cut(line, "\t"); kind == "alive" || kind == "exited" {
			_, _ = io.WriteString(k.out, line)
		}
	}
	k.writeLine("found")
}

// examineHost answers the verb examine: the state of the login node, the home directory and Slurm.
func (k *call) examineHost() {
	k.writeLine("host", "host="+shortName(k.host), "user="+k.c.user, "shell=cscs", fmt.Sprintf("now=%d", time.Now().UnixNano()))
	home := []string{"path=" + k.c.homeDir(), "error="}
	if err := os.WriteFile(filepath.Join(k.c.homeDir(), ".cscs-doctor"), make([]byte, 1<<16), 0o600); err != nil {
		home[1] += err.Error()
	}
	_ = os.Remove(filepath.Join(k.c.homeDir(), ".cscs-doctor"))
	k.writeLine("home", home...)
	k.writeLine("logins", "now=1")
	k.writeLine("slurm", "version=slurm 24.11 (cscs demo)")
	k.writeLine("answered", "by=sinfo", "code=0")
	for _, p := range describePartitions() {
		k.writeLine("partition", "answer="+p+"|idle")
	}
	k.writeLine("answered", "by=squeue", "code=0")
	for _, l := range k.c.ctl.snapshotUserJobs() {
		k.writeLine("job", "answer="+l.squeueLineNamed)
	}
	k.writeLine("answered", "by=sacctmgr", "code=1") // there is no accounting
	k.writeLine("examined")
}

// hostKey returns a host's public key as in authorized_keys(5).
func (c *Cluster) hostKey(host string) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(c.keys[host].PublicKey())))
}
