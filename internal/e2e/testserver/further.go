//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// extraServers are further servers, by their addresses.
type extraServers struct {
	name      string
	mu        sync.Mutex
	listeners map[string]net.Listener
}

// registerHandlers adds
//
//	/listen?addr=ADDRESS[&zmq=1]  starts another web server, or one that greets as ZeroMQ does
//	/unlisten?addr=ADDRESS        ends it
func (o *extraServers) registerHandlers(mux *http.ServeMux) {
	o.listeners = map[string]net.Listener{}
	mux.HandleFunc("/listen", func(w http.ResponseWriter, r *http.Request) {
		addr := r.FormValue("addr")
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", addr)
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		o.mu.Lock()
		o.listeners[addr] = l
		o.mu.Unlock()
		if r.FormValue("zmq") != "" {
			go serveZMQGreeting(l)
			return
		}
		s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "%s at %s\n", o.name, addr)
		})}
		go func() { _ = s.Serve(l) }()
	})
	mux.HandleFunc("/unlisten", func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		l := o.listeners[r.FormValue("addr")]
		if l == nil {
			http.Error(w, "nothing listens there", http.StatusNotFound)
			return
		}
		_ = l.Close()
		delete(o.listeners, r.FormValue("addr"))
	})
}

// serveZMQGreeting sends the first bytes of a ZeroMQ socket (ZMTP 3.0).
func serveZMQGreeting(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			_, _ = io.WriteString(c, "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f")
			_, _ = io.Copy(io.Discard, c)
		}()
	}
}
