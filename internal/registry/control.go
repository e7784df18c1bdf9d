package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/internal/owndir"
	"github.com/alps-tunnel/cscs/internal/peer"
	"github.com/alps-tunnel/cscs/internal/runclock"
	"github.com/alps-tunnel/cscs/internal/sessionid"
)

// An Outcome is how a session ended for the process that attended it.
type Outcome struct {
	Code   int    `json:"code"` // its exit code
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"` // the fix, if it did not end as asked
	// Detached reports that the process has left the session, which goes on without it.
	Detached bool `json:"detached,omitempty"`
}

// A Controlled is a process that attends a session, as its control socket uses it.
type Controlled interface {
	// Link returns the URL with which a browser gets into the server, including the secret, or ""
	// if nothing answers there yet.
	Link() string
	// Enter returns the URL for a browser of this user, and the cookies (as in Set-Cookie) for it.
	Enter() (url string, cookies []string)
	// Stop requests the end of the session, Detach only that of the process.
	Stop()
	Detach()
}

// A Control is the control socket of this process: HTTP over a unix socket. Only the user can reach
// it, since its directory has mode 0700. Each side also asks the kernel for the user of the other
// process, if the system supports that.
type Control struct {
	path    string
	process Controlled
	server  *http.Server
	serving conc.WaitGroup

	over    chan struct{} // closed by Close
	outcome Outcome
	closing sync.Once
}

// heartbeatInterval is how often a client that waits for the end of a session gets a sign of life.
// A process that gives none for silenceTimeout counts as stopped (Ctrl-Z) or hung: the kernel
// accepts connections for it anyway.
const (
	heartbeatInterval = time.Second
	silenceTimeout    = 5 * time.Second
)

// answerTime is how long Close may take to send the outcome to the clients that wait for it.
const answerTime = time.Second

// Serve opens the control socket of the session id in dir. If the path is too long for a socket
// (unix(7): 108 bytes, on macOS 104), it uses the user's directory for temporary files. The caller
// holds the record's lock.
func Serve(dir, id string, process Controlled) (*Control, error) {
	if err := sessionid.Check(id); err != nil {
		return nil, err
	}
	path, err := socketPath(dir, id)
	if err != nil {
		return nil, err
	}
	_ = os.Remove(path) // of a killed process: this process holds the record's lock
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by then, the name may belong to another process
	c := &Control{path: path, process: process, over: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /link", c.handleLink)
	mux.HandleFunc("POST /enter", c.handleEnter)
	mux.HandleFunc("POST /stop", c.endingHandler(process.Stop))
	mux.HandleFunc("POST /detach", c.endingHandler(process.Detach))
	c.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	c.serving.Go(func() { _ = c.server.Serve(peer.SocketListener{Listener: l}) })
	return c, nil
}

// Path returns the path of the socket.
func (c *Control) Path() string { return c.path }

// Close sends o to the clients that wait for the end of the session, and serves no others. The
// socket's file stays: see [Entry.Serve].
func (c *Control) Close(o Outcome) {
	c.closing.Do(func() {
		c.outcome = o
		close(c.over)
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		if c.server.Shutdown(ctx) != nil {
			_ = c.server.Close()
		}
		c.serving.Wait()
	})
}

func (c *Control) handleLink(w http.ResponseWriter, _ *http.Request) {
	writeAnswer(w, map[string]string{"link": c.process.Link()})
}

// An enterAnswer is the answer to /enter.
type enterAnswer struct {
	URL     string   `json:"url"`
	Cookies []string `json:"cookies"`
}

func (c *Control) handleEnter(w http.ResponseWriter, _ *http.Request) {
	url, cookies := c.process.Enter()
	writeAnswer(w, enterAnswer{url, cookies})
}

// endingHandler answers with the outcome of the session. Until then it sends a space per
// heartbeatInterval, since JSON ignores leading white space.
func (c *Control) endingHandler(ask func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ask()
		tick := time.NewTicker(heartbeatInterval)
		defer tick.Stop()
		for {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-c.over:
				writeAnswer(w, c.outcome)
				return
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
		}
	}
}

func writeAnswer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // on an error, the client has gone
}

// A Peer is the process that attends a session, as other processes reach it.
type Peer struct {
	record  Record
	client  *http.Client
	timeout time.Duration // without a sign of life
}

// Reach returns the process that attends the session of that record.
func Reach(r Record) *Peer {
	p := &Peer{record: r, timeout: silenceTimeout}
	p.client = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			// The record may be old, and the directory may belong to another user by now.
			if err := owndir.Check(filepath.Dir(r.Control)); err != nil {
				return nil, err
			}
			conn, err := peer.DialSocket(ctx, r.Control)
			if errors.Is(err, peer.ErrStranger) {
				err = fmt.Errorf("%s: %w", r.Control, err)
			}
			return conn, err
		},
	}}
	return p
}

// GoneError reports that the process that attended the session has ended.
type GoneError struct{ Err error }

func (e *GoneError) Error() string {
	return "the process that attends the session does not answer: " + e.Err.Error()
}
func (e *GoneError) Unwrap() error { return e.Err }

// SilentError reports that the process that attends the session is stopped, or hangs.
type SilentError struct {
	ID  string
	PID int
}

func (e *SilentError) Error() string {
	return fmt.Sprintf("the process that attends session %s (pid %d) does not answer: it is suspended, or hangs", e.ID, e.PID)
}

// UnattendedError reports that no process of this laptop attends the session.
type UnattendedError struct{ ID string }

func (e *UnattendedError) Error() string {
	return "session " + e.ID + " is not attended by any process of this machine"
}

// TiedError reports that the session would end with its process.
type TiedError struct{ ID string }

func (e *TiedError) Error() string {
	return "session " + e.ID + " cannot be detached before it is granted: its request waits with salloc, and ends with the process that attends it"
}

// NotReadyError reports that the session has no address to open yet.
type NotReadyError struct{ ID, State string }

func (e *NotReadyError) Error() string {
	return "session " + e.ID + " has no address yet: it is " + e.State
}

// EndedBadlyError reports that a session that was asked to end did not end as it should.
type EndedBadlyError struct {
	ID string
	Outcome
}

func (e *EndedBadlyError) Error() string { return "session " + e.ID + ": " + e.Reason }

// NotLeftError reports that a session ended instead of being detached.
type NotLeftError struct{ ID, Reason string }

func (e *NotLeftError) Error() string {
	return "session " + e.ID + " was not detached, it has ended: " + e.Reason
}

// Link requests the URL with which a browser gets in. It returns "" if nothing answers there yet.
func (p *Peer) Link(ctx context.Context) (string, error) {
	var a struct{ Link string }
	err := p.sendRequest(ctx, http.MethodGet, "/link", &a)
	return a.Link, err
}

// Enter requests the URL and cookies for a browser. They are valid for a short time.
func (p *Peer) Enter(ctx context.Context) (url string, cookies []string, err error) {
	var a enterAnswer
	err = p.sendRequest(ctx, http.MethodPost, "/enter", &a)
	return a.URL, a.Cookies, err
}

// Stop requests the end of the session and waits for it. The error of each request is a
// [*GoneError], a [*SilentError], or the cause of ctx.
func (p *Peer) Stop(ctx context.Context) (Outcome, error) {
	var o Outcome
	err := p.sendRequest(ctx, http.MethodPost, "/stop", &o)
	return o, err
}

// Detach asks the process to leave the session, and waits until it has left.
func (p *Peer) Detach(ctx context.Context) (Outcome, error) {
	var o Outcome
	err := p.sendRequest(ctx, http.MethodPost, "/detach", &o)
	return o, err
}

// sendRequest sends a request and decodes the answer into to. It times out if the process gives no
// sign of life for p.timeout.
func (p *Peer) sendRequest(ctx context.Context, method, path string, to any) error {
	if p.record.Control == "" {
		return &GoneError{errors.New("it has no control socket")}
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	quiet := runclock.AfterFunc(p.timeout, func() { giveUp(&SilentError{p.record.ID, p.record.PID}) })
	defer quiet.Stop()
	req, err := http.NewRequestWithContext(ctx, method, "http://cscs"+path, nil)
	if err != nil {
		return err
	}
	res, err := p.client.Do(req)
	if err == nil {
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return &GoneError{errors.New("it answers " + res.Status)}
		}
		err = json.NewDecoder(heartbeatReader{res.Body, func() { quiet.Reset(p.timeout) }}).Decode(to)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
			return cause
		}
		return fmt.Errorf("ask the process that attends session %s (pid %d): %w", p.record.ID, p.record.PID, ctx.Err())
	}
	if request := (*url.Error)(nil); errors.As(err, &request) {
		err = request.Err // the URL does not help the user
	}
	return &GoneError{err}
}

// heartbeatReader calls sign with each piece that it reads.
type heartbeatReader struct {
	io.Reader
	sign func()
}

func (h heartbeatReader) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	h.sign()
	return n, err
}

const sockSuffix = ".sock"

// longestPath is the longest path of a unix socket on macOS; other systems allow a little more.
const longestPath = 103

// socketPath returns the path of the session's control socket and makes its directory.
func socketPath(dir, id string) (string, error) {
	for _, d := range []string{dir, shortDir()} {
		path := filepath.Join(d, id+sockSuffix)
		if len(path) > longestPath {
			continue
		}
		if err := owndir.Make(d); err != nil {
			return "", fmt.Errorf("make a place for the control socket: %w", err)
		}
		return path, nil
	}
	return "", fmt.Errorf("open the control socket: the path of %s is too long", dir)
}
