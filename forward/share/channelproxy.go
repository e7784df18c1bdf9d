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

// drainTimeout is how long the host may take nothing of what a client wrote before it closed a
// channel.
const drainTimeout = 5 * time.Second

// channelProxy passes one channel on: up leads to the last hop, down to the client.
type channelProxy struct {
	client *client
	up     ssh.Channel
	down   ssh.Channel
	sent   atomic.Int64 // bytes passed on to the host

	answering sync.Mutex // held until a request of the client is answered
}

// proxyChannel opens the channel that the client requests and serves it to its end.
func proxyChannel(s *client, asked ssh.NewChannel) {
	up, upRequests, err := s.openChannel(asked)
	if err != nil {
		var refused *ssh.OpenChannelError
		switch {
		case errors.As(err, &refused):
			_ = asked.Reject(refused.Reason, refused.Message)
		case errors.As(err, new(*chain.LostError)), s.chain.Err() != nil:
			<-s.ctx.Done() // the end of the connection tells the client, with the reason
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

// copyToClient passes on what the host sends, until the host has closed the channel.
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
	// copyToHost may still be passing on the host's answer.
	c.answering.Lock()
	defer c.answering.Unlock()
	// The channel has ended. If the SSH connection has ended, its end tells the client so.
	if _, err := c.up.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
		_ = c.down.Close()
	}
}

// copyToHost passes on what the client sends, until the client has closed the channel.
func (c *channelProxy) copyToHost(reqs <-chan *ssh.Request) {
	over := make(chan struct{})
	var data sync.WaitGroup
	data.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { _ = copyOrDiscard(c.up, c.down, &c.sent) })
		both.Go(func() { _ = copyOrDiscard(c.up.Stderr(), c.down.Stderr(), &c.sent) })
		both.Wait()
		// A killed client has not reached the end of its data.
		if !c.client.socket.failed.Load() {
			_ = c.up.CloseWrite()
		}
		close(over)
	})
	for req := range reqs {
		// One at a time, since answers must come in the order of the requests.
		c.answering.Lock()
		ok, err := c.up.SendRequest(req.Type, req.WantReply, req.Payload)
		_ = req.Reply(ok && err == nil, nil)
		c.answering.Unlock()
	}
	c.awaitSent(over)
	_ = c.up.Close()
	data.Wait()
}

// awaitSent waits until the host has taken all that was written, or nothing for drainTimeout.
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

// copyRequests passes on the host's requests in the channel (exit-status, exit-signal). A stopped
// client must not block the host's other channels. So up to 16 requests wait for it; a further one
// closes the channel.
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
			_ = req.Reply(false, nil) // the host asks whether this connection lives (ClientAliveInterval)
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

// copyOrDiscard copies until src ends, and returns its error if that is not io.EOF. After a failed
// write it discards the rest: src's sender may wait for the window, which must open again.
func copyOrDiscard(dst io.Writer, src io.Reader, count *atomic.Int64) error {
	const most = 32 << 10 // the size of x/crypto's packets
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
				buf = make([]byte, most) // the small one is for idle channels
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
