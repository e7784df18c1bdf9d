package share

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/internal/runclock"
)

// drainTimeout is how long what a sharer wrote before it closed a channel may wait for the far
// side to take any of it.
const drainTimeout = 5 * time.Second

// channelProxy is a channel that is carried: up is the last hop's end of it, down the sharer's.
type channelProxy struct {
	client *client
	up     ssh.Channel
	down   ssh.Channel
	sent   atomic.Int64 // bytes, up

	answering sync.Mutex // held until a request of the sharer's is answered
}

// proxyChannel opens the channel that the sharer asks for and carries it to its end.
func proxyChannel(s *client, asked ssh.NewChannel) {
	up, upRequests, err := s.openChannel(asked)
	if err != nil {
		var refused *ssh.OpenChannelError
		var lost *chain.LostError
		switch {
		case errors.As(err, &refused):
			_ = asked.Reject(refused.Reason, refused.Message)
		case errors.As(err, &lost), s.chain.Err() != nil:
			<-s.ctx.Done() // that is told by the end of the connection, and why
		default:
			_ = asked.Reject(ssh.ConnectionFailed, err.Error())
		}
		return
	}
	down, downRequests, err := asked.Accept()
	if err != nil {
		_ = up.Close()
		ssh.DiscardRequests(upRequests)
		return
	}
	c := &channelProxy{client: s, up: up, down: down}
	var both sync.WaitGroup
	both.Go(func() { c.copyToClient(upRequests) })
	both.Go(func() { c.copyToHost(downRequests) })
	both.Wait()
}

// copyToClient carries what the host sends, until the host has closed the channel.
func (c *channelProxy) copyToClient(reqs <-chan *ssh.Request) {
	var data, rest sync.WaitGroup
	var lost atomic.Bool
	data.Go(func() { lost.CompareAndSwap(false, copyOrDiscard(c.down, c.up, nil) != nil) })
	data.Go(func() { lost.CompareAndSwap(false, copyOrDiscard(c.down.Stderr(), c.up.Stderr(), nil) != nil) })
	rest.Go(func() {
		data.Wait()
		if !lost.Load() {
			_ = c.down.CloseWrite()
		}
	})
	rest.Go(func() { c.copyRequests(reqs) })
	rest.Wait()
	// The host's answer may still be on its way, in copyToHost's hands.
	c.answering.Lock()
	defer c.answering.Unlock()
	// The channel has ended. If that is since the connection has, its end says so.
	if _, err := c.up.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
		_ = c.down.Close()
	}
}

// copyToHost carries what the sharer sends, until the sharer has closed the channel.
func (c *channelProxy) copyToHost(reqs <-chan *ssh.Request) {
	over := make(chan struct{})
	var data sync.WaitGroup
	data.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { _ = copyOrDiscard(c.up, c.down, &c.sent) })
		both.Go(func() { _ = copyOrDiscard(c.up.Stderr(), c.down.Stderr(), &c.sent) })
		both.Wait()
		// A sharer that was killed has not come to the end of its data.
		if !c.client.socket.failed.Load() {
			_ = c.up.CloseWrite()
		}
		close(over)
	})
	for req := range reqs {
		// One at a time and in order, as they have to be answered.
		c.answering.Lock()
		ok, err := c.up.SendRequest(req.Type, req.WantReply, req.Payload)
		_ = req.Reply(ok && err == nil, nil)
		c.answering.Unlock()
	}
	c.awaitSent(over)
	_ = c.up.Close()
	data.Wait()
}

// awaitSent waits until what the sharer has written is sent, or nothing is taken of it.
func (c *channelProxy) awaitSent(over <-chan struct{}) {
	timer := runclock.NewTimer(drainTimeout)
	defer timer.Stop()
	for before := c.sent.Load(); ; {
		select {
		case <-over:
			return
		case <-c.client.ctx.Done():
			return
		case <-timer.C:
			timer.Reset(drainTimeout)
			now := c.sent.Load()
			if now == before {
				return
			}
			before = now
		}
	}
}

// copyRequests passes on what the host says of the channel (exit-status, exit-signal). A
// sharer that is stopped must not hold up the host's other channels: what it does not
// take waits, and there is little of it.
func (c *channelProxy) copyRequests(reqs <-chan *ssh.Request) {
	queue := make(chan *ssh.Request, 16)
	var passing sync.WaitGroup
	passing.Go(func() {
		for req := range queue {
			ok, err := c.down.SendRequest(req.Type, req.WantReply, req.Payload)
			_ = req.Reply(ok && err == nil, nil)
		}
	})
	for req := range reqs {
		if req.Type == "keepalive@openssh.com" {
			_ = req.Reply(false, nil) // the host asks after this connection (ClientAliveInterval)
			continue
		}
		select {
		case queue <- req:
		default:
			_ = c.up.Close()
		}
	}
	close(queue)
	passing.Wait()
}

// copyOrDiscard copies until the end of src, and returns why that is not io.EOF. What dst does not
// take any more is thrown away: the window, which src's other end may be waiting for, must
// open again.
func copyOrDiscard(dst io.Writer, src io.Reader, count *atomic.Int64) error {
	const most = 32 << 10 // x/crypto's packet
	buf := make([]byte, 2<<10)
	refused := false
	for {
		n, err := src.Read(buf)
		if n > 0 && !refused {
			_, failed := dst.Write(buf[:n])
			refused = failed != nil
			if count != nil {
				count.Add(int64(n))
			}
			if n == len(buf) && n < most {
				buf = make([]byte, most) // not an idle one
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
