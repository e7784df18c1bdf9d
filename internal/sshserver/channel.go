package sshserver

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// serveChannel serves a channel by its type (RFC 4254, OpenSSH's PROTOCOL).
func (s *Server) serveChannel(ch ssh.NewChannel) {
	switch ch.ChannelType() {
	case "session":
		s.serveSession(ch)
	case "direct-tcpip":
		var to struct {
			Host       string
			Port       uint32
			Originator string
			From       uint32
		}
		if err := ssh.Unmarshal(ch.ExtraData(), &to); err != nil {
			_ = ch.Reject(ssh.ConnectionFailed, err.Error())
			return
		}
		s.forwardChannel(ch, "tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	case "direct-streamlocal@openssh.com":
		var to struct {
			Path      string
			Reserved  string
			Reserved2 uint32
		}
		if err := ssh.Unmarshal(ch.ExtraData(), &to); err != nil {
			_ = ch.Reject(ssh.ConnectionFailed, err.Error())
			return
		}
		s.forwardChannel(ch, "unix", to.Path)
	default:
		_ = ch.Reject(ssh.UnknownChannelType, "unknown channel type")
	}
}

// forwardChannel connects the channel to what Dial opens. Each direction can end by itself.
func (s *Server) forwardChannel(ch ssh.NewChannel, network, addr string) {
	s.mu.Lock()
	s.dialled = append(s.dialled, addr)
	s.mu.Unlock()
	target, err := s.config.Dial(network, addr)
	if err != nil {
		var refused *ssh.OpenChannelError
		if errors.As(err, &refused) {
			_ = ch.Reject(refused.Reason, refused.Message)
		} else {
			_ = ch.Reject(ssh.ConnectionFailed, err.Error())
		}
		return
	}
	defer target.Close()
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	var closed, copies sync.WaitGroup
	closed.Go(func() {
		ssh.DiscardRequests(requests)
		_ = target.Close() // the client has closed the channel
	})
	copies.Go(func() {
		_, _ = io.Copy(channel, target)
		_ = channel.CloseWrite()
	})
	copies.Go(func() {
		_, err := io.Copy(target, channel)
		if half, ok := target.(interface{ CloseWrite() error }); ok && err == nil {
			_ = half.CloseWrite()
		} else {
			_ = target.Close()
		}
	})
	copies.Wait()
	_ = channel.Close()
	closed.Wait()
}

// serveSession runs the command of an exec request.
func (s *Server) serveSession(ch ssh.NewChannel) {
	if s.config.Run == nil {
		_ = ch.Reject(ssh.Prohibited, "no sessions here")
		return
	}
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for req := range requests {
		var exec struct{ Command string }
		if req.Type != "exec" || ssh.Unmarshal(req.Payload, &exec) != nil {
			_ = req.Reply(false, nil)
			continue
		}
		_ = req.Reply(true, nil)
		running.Go(func() {
			status := s.config.Run(ctx, exec.Command, channel, channel, channel.Stderr())
			_ = channel.CloseWrite()
			if status >= 0 {
				_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
			}
			_ = channel.Close()
		})
	}
}
