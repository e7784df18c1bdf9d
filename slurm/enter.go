package slurm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
)

// A Starter runs a command on a host of the cluster, as Remote does, and hands over its
// standard input and output as one stream, whose end ends it. When a Read has returned
// io.EOF, all that the command had to say on standard error has been written.
type Starter interface {
	Start(ctx context.Context, command string, stderr io.Writer) (net.Conn, error)
}

// An SSHDStep is a way to a node of a running job that does not need the node's own
// sshd: a step of the job runs one as the user, for one connection. Its key pairs are
// the caller's, made for this session.
type SSHDStep struct {
	ID        string // of the session
	Job, Node string // Job may be empty for a guest: the user's on that node
	HostKey   []byte // the private key that the sshd shows, as a file of OpenSSH's
	UserKey   string // the one key that it lets in, as a line of authorized_keys(5)

	// Guest: the job is none of the session's. What the step needs is put into the user's home
	// for as long as it runs.
	Guest bool

	// Person: whom it lets in is another ssh client of the user's, as one that logs in: it
	// may have a terminal, sftp and its agent there, and show other keys before that one.
	ExternalClient bool
}

// enterArgs make a step beside the runner's, which has no claim of its own to anything
// and hands on every byte as it comes: without --unbuffered Slurm waits for whole lines.
// If Slurm makes no step within that time, srun ends: nobody waits for it any more.
var enterArgs = []string{"--overlap", "--nodes=1", "--ntasks=1", "--cpu-bind=none", "--mem=0",
	"--mpi=none", "--export=ALL", "--unbuffered", "--immediate=30"}

// Open starts the step, from the login node that host is, and returns the stream to its
// sshd. The step ends with the stream.
//
// It returns *RemoteError (of kind "nosshd", if the node has none; "nojob", if no job of the user's
// runs there), *StepError, the error of the
// connection or the cause of ctx, if that ended first; later ctx has no hold on the stream.
func (e SSHDStep) Open(ctx context.Context, host Starter) (net.Conn, error) {
	v := new(vars)
	v.setID(e.ID)
	v.setValue("cscs_job", e.Job)
	v.setValue("cscs_node", e.Node)
	if e.Guest {
		v.setValue("cscs_guest", "1")
	}
	v.setList("cscs_srun_args", enterArgs)
	v.setValue("cscs_host_key", string(e.HostKey))
	v.setValue("cscs_user_key", e.UserKey)
	// Each client of the session has files of its own, and each connection of a person's.
	owner, door := e.UserKey, ""
	if e.ExternalClient {
		owner, door = owner+string(e.HostKey), "person-"
		v.setValue("cscs_person", "1")
	}
	sum := sha256.Sum256([]byte(owner))
	v.setValue("cscs_door", door+hex.EncodeToString(sum[:4]))
	c := call{verb: "enter", vars: v, handle: func(l line) error {
		if l.kind == "stream" {
			return errStream
		}
		return nil
	}}

	if v.err != nil {
		return nil, v.err
	}
	var stderr tail
	conn, err := host.Start(ctx, bootstrap, &stderr)
	if err != nil {
		return nil, err
	}
	release := context.AfterFunc(ctx, func() { _ = conn.Close() })
	payload, mark := c.buildPayload()
	br := bufio.NewReader(conn)
	// If it cannot be written, what comes back says why.
	_, _ = io.WriteString(conn, payload)
	err = c.readAnswer(br, mark)
	if !release() {
		return nil, context.Cause(ctx)
	}
	if errors.Is(err, errStream) {
		rest, _ := br.Peek(br.Buffered())
		return &stream{Conn: conn, r: io.MultiReader(bytes.NewReader(rest), conn)}, nil
	}
	_ = conn.Close()
	var shell *RemoteError
	switch {
	case err == nil:
		// It ended, and so all of its last words are there.
		err = &StepError{Job: e.Job, Message: cleanMessage(strings.ReplaceAll(stderr.String(), "\n", "|"))}
	case errors.As(err, &shell) && shell.Kind == "shell":
		shell.Output = strings.TrimSpace(shell.Output + "\n" + stderr.String())
	}
	return nil, err
}

var errStream = errors.New("from here on it is the stream")

// stream is what a command prints from some point on.
type stream struct {
	net.Conn
	r io.Reader
}

func (s *stream) Read(p []byte) (int, error) { return s.r.Read(p) }
