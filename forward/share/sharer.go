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

// A client is the owner's end of the connection to a process that joined, or wants to.
type client struct {
	master *master
	socket *socket
	conn   ssh.Conn
	chain  *chain.Chain // once it was let in
	tasks  sync.WaitGroup

	ctx   context.Context // ends with the connection
	close context.CancelFunc
	notes chan note

	mu    sync.Mutex
	asks  bool // to be let in, or is
	open  int  // channels
	moved bool // to another chain, so that it is done when it has none open
}

// A note is a global request that is to be sent.
type note struct {
	request string
	message any
}

func newClient(o *master, conn *net.UnixConn) *client {
	s := &client{master: o, socket: newSocket(conn), notes: make(chan note, 64)}
	s.ctx, s.close = context.WithCancel(context.Background())
	context.AfterFunc(s.ctx, func() { _ = s.socket.Close() })
	return s
}

// serveConn is the connection from beginning to end.
func (s *client) serveConn() {
	defer s.tasks.Wait()
	defer s.master.removeClient(s)
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

// answerRequests answers the sharer's global requests. A keepalive is always answered: it
// asks for this process, and the hops' silence is told by itself.
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

// setAsks reports whether that is a change.
func (s *client) setAsks(asks bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.asks != asks
	s.asks = asks
	return changed
}

// answerJoin answers when it is known whether there is a chain, or will not be for long; or else
// after sign that it has to be asked again, so that the sharer sees that we are not stopped.
func (s *client) answerJoin(req *ssh.Request) {
	verdict := func(why string) { _ = req.Reply(false, ssh.Marshal(verdictMessage{why})) }
	var m joinMessage
	if ssh.Unmarshal(req.Payload, &m) != nil || m.Version != protocolVersion {
		verdict(verdictVersion)
		return
	}
	select {
	case <-s.master.decided:
	default:
		again := time.NewTimer(signInterval)
		defer again.Stop()
		select {
		case <-s.master.decided:
		case <-s.master.asking:
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
	in := s.master.admitClient(s)
	if in {
		s.chain = s.master.chain
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
			_, _, _ = s.conn.SendRequest(n.request, false, n.payload())
		case <-s.ctx.Done():
			return
		}
	}
}

func (n note) payload() []byte {
	if n.message == nil {
		return nil
	}
	return ssh.Marshal(n.message)
}

// queueNote has something sent. Who does not take what is sent is let go of.
func (s *client) queueNote(request string, message any) {
	select {
	case s.notes <- note{request, message}:
	default:
		s.close()
	}
}

// sendLost says the last word. It does not wait for long: whoever is stopped reads nothing.
func (s *client) sendLost(last lostMessage) {
	defer s.close()
	if s.socket.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		_, _, _ = s.conn.SendRequest(lostRequest, false, ssh.Marshal(last))
		s.socket.flush()
	}
}

// beginChannel counts a channel, if the sharer may have one.
func (s *client) beginChannel() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chain == nil {
		return false
	}
	s.open++
	return true
}

func (s *client) endChannel() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open--; s.open == 0 && s.moved {
		s.close()
	}
}
