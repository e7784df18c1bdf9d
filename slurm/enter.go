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

// A Starter runs a command on a host of the cluster, as Remote does. Start returns the command's
// standard input and output as one stream; closing it ends the command. When Read returns io.EOF,
// all of the command's standard error has been written to stderr.
type Starter interface {
	Start(ctx context.Context, command string, stderr io.Writer) (net.Conn, error)
}

// An SSHDStep is a job step with an sshd, which connects to a node of a running job without the
// node's own sshd. It runs as the user, for one connection. HostKey is made for the session,
// since it travels to the cluster.
type SSHDStep struct {
	ID        string // ID of the session
	Job, Node string // a guest's Job may be empty: the user's job on that node
	HostKey   []byte // the private host key of the sshd, in OpenSSH's file format
	UserKey   string // the only key that it accepts, as a line of authorized_keys(5)

	// Guest reports that the job is not a session's. The step's files are then in the user's home
	// while it runs.
	Guest bool

	// ExternalClient reports that the connection is for another ssh client of the user's, for a
	// login. It may have a terminal, sftp and its agent there, and offer other keys before UserKey.
	ExternalClient bool
}

// enterArgs are the srun options of a step beside the runner's, which reserves no resources.
// --unbuffered passes on each byte at once; without it Slurm waits for whole lines. If Slurm makes
// no step within 30 s, srun ends, because the client no longer waits.
var enterArgs = []string{"--overlap", "--nodes=1", "--ntasks=1", "--cpu-bind=none", "--mem=0",
	"--mpi=none", "--export=ALL", "--unbuffered", "--immediate=30"}

// Open starts the step from the login node host and returns the stream to its sshd. The step ends
// with the stream.
//
// Open returns *RemoteError: of kind "nosshd" if the node has no sshd, "nojob" if no job of the
// user's runs there. It returns *StepError, the error of the connection, or the cause of ctx if
// that ended first. After Open has returned, ctx has no effect on the stream.
func (e SSHDStep) Open(ctx context.Context, host Starter) (net.Conn, error) {
	v := new(vars)
	v.setID(e.ID)
	v.setValue("cscs_job", e.Job)
	v.setValue("cscs_node", e.Node)
	v.setFlag("cscs_guest", e.Guest)
	v.setList("cscs_srun_args", enterArgs)
	v.setValue("cscs_host_key", string(e.HostKey))
	v.setValue("cscs_user_key", e.UserKey)
	// Each client of the session has its own files, and so has each external connection.
	owner, door := e.UserKey, ""
	if e.ExternalClient {
		owner, door = owner+string(e.HostKey), "person-"
	}
	v.setFlag("cscs_person", e.ExternalClient)
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
	// If the write fails, the answer gives the reason.
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
		// The command ended, so its standard error is complete.
		err = &StepError{Job: e.Job, Message: cleanMessage(strings.ReplaceAll(stderr.String(), "\n", "|"))}
	case errors.As(err, &shell) && shell.Kind == "shell":
		shell.Output = strings.TrimSpace(shell.Output + "\n" + stderr.String())
	}
	return nil, err
}

var errStream = errors.New("from here on it is the stream")

// stream is a connection whose first bytes come from a buffer.
type stream struct {
	net.Conn
	r io.Reader
}

func (s *stream) Read(p []byte) (int, error) { return s.r.Read(p) }
