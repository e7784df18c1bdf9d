package share

import (
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/peer"
)

// A client is the sharing process's end of the connection to a process that has joined or asks to.
type client struct {
	sharing *sharingProcess
	socket  *socket
	conn    ssh.Conn
	chain   *chain.Chain // set once it is admitted
	tasks   sync.WaitGroup

	ctx   context.Context // ends with the connection
	close context.CancelFunc
	notes chan note

	mu    sync.Mutex
	asks  bool // it has asked to join, and may have been admitted
	open  int  // open channels
	moved bool // it has another chain, so it is done when it has no open channel
}

// A note is a global request to be sent to a client.
type note struct {
	request string
	payload []byte
}

// newClient returns a client whose socket is closed when its context ends.
func newClient(o *sharingProcess, conn *net.UnixConn) *client {
	s := &client{sharing: o, socket: newSocket(conn), notes: make(chan note, 64)}
	s.ctx, s.close = context.WithCancel(context.Background())
	context.AfterFunc(s.ctx, func() { _ = s.socket.Close() })
	return s
}

// serveConn serves the connection until it ends.
func (s *client) serveConn() {
	defer s.tasks.Wait()
	defer s.sharing.removeClient(s)
	defer s.socket.Close()
	defer s.close()
	if peer.CheckSocket(s.socket.UnixConn) != nil {
		return
	}
	conn, chans, reqs, err := s.socket.acceptSSH()
	if err != nil {
		return
	}
	s.conn = conn
	s.tasks.Go(func() { s.answerRequests(reqs) })
	for ch := range chans {
		if !s.beginChannel() {
			_ = ch.Reject(ssh.Prohibited, "not let in")
			continue
		}
		s.tasks.Go(func() {
			defer s.endChannel()
			proxyChannel(s, ch)
		})
	}
}

// answerRequests answers the client's global requests. It always answers a keepalive, which asks
// only whether this process lives; a silence of the hops is passed on by itself.
func (s *client) answerRequests(reqs <-chan *ssh.Request) {
	for req := range reqs {
		switch {
		case req.Type == joinRequest && s.setAsks(true):
			s.tasks.Go(func() { s.answerJoin(req) })
		case req.Type == movedRequest:
			s.mu.Lock()
			s.moved = true
			done := s.open == 0
			s.mu.Unlock()
			if done {
				s.close()
			}
		default:
			_ = req.Reply(false, nil)
		}
	}
	s.close()
}

// setAsks sets s.asks and reports whether that changed it.
func (s *client) setAsks(asks bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.asks != asks
	s.asks = asks
	return changed
}

// answerJoin answers when the dial has succeeded or failed, or waits for a person. Otherwise it
// asks the process to repeat the request after signInterval, to show that the sharing process is
// not stopped.
func (s *client) answerJoin(req *ssh.Request) {
	verdict := func(why string) { _ = req.Reply(false, ssh.Marshal(verdictMessage{why})) }
	var m joinMessage
	if ssh.Unmarshal(req.Payload, &m) != nil || m.Version != protocolVersion {
		verdict(verdictVersion)
		return
	}
	select {
	case <-s.sharing.decided:
	default:
		again := time.NewTimer(signInterval)
		defer again.Stop()
		select {
		case <-s.sharing.decided:
		case <-s.sharing.asking:
			verdict(verdictAsking)
			return
		case <-again.C:
			s.setAsks(false)
			verdict(verdictWait)
			return
		case <-s.ctx.Done():
			return
		}
	}
	s.mu.Lock()
	in := s.sharing.admitClient(s)
	if in {
		s.chain = s.sharing.chain
	}
	s.mu.Unlock()
	if !in {
		verdict(verdictAgain)
		return
	}
	_ = req.Reply(true, nil)
	for {
		select {
		case n := <-s.notes:
			_, _, _ = s.conn.SendRequest(n.request, false, n.payload)
		case <-s.ctx.Done():
			return
		}
	}
}

// queueNote queues a request for the client. It disconnects a client that does not take its notes.
func (s *client) queueNote(n note) {
	select {
	case s.notes <- n:
	default:
		s.close()
	}
}

// sendLost sends the reason of the end, within 1 s at most, since a stopped client reads nothing.
func (s *client) sendLost(last lostMessage) {
	defer s.close()
	if s.socket.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		_, _, _ = s.conn.SendRequest(lostRequest, false, ssh.Marshal(last))
		s.socket.flush()
	}
}

// beginChannel counts a channel and reports true if the client was admitted.
func (s *client) beginChannel() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chain == nil {
		return false
	}
	s.open++
	return true
}

// endChannel counts a channel's end, and disconnects a client that has moved and has no more.
func (s *client) endChannel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open--; s.open == 0 && s.moved {
		s.close()
	}
}
