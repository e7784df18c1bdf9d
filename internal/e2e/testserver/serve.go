//go:build unix

package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// fillPattern fills p with the bytes of the test stream from offset on. No two aligned blocks are equal,
// so a lost or doubled block is noticed.
func fillPattern(p []byte, offset int64) {
	for i := range p {
		n := uint64(offset+int64(i)) >> 3
		p[i] = byte(n*0x9E3779B97F4A7C15>>56) ^ byte(offset+int64(i))
	}
}

// A loggingListener logs each connection that it accepts, and the first bytes received over it.
type loggingListener struct {
	net.Listener
}

func (l *loggingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	fmt.Printf("accepted %s\n", c.RemoteAddr())
	return &loggingConn{Conn: c}, nil
}

type loggingConn struct {
	net.Conn
	logged bool
}

func (c *loggingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.logged {
		c.logged = true
		fmt.Printf("received %q\n", p[:min(n, 100)])
	}
	return n, err
}

// withLogin admits requests with the token, or with the cookie that a request with the token gets.
func withLogin(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("token") == token {
			http.SetCookie(w, &http.Cookie{Name: "testserver-login", Value: "in", Path: "/", HttpOnly: true})
		} else if c, err := r.Cookie("testserver-login"); err != nil || c.Value != "in" {
			http.Error(w, "a token is needed", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// newHandler returns the handler of all paths that the tests use.
func newHandler(o options, l net.Listener) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s host=%s\n", o.name, r.URL.RequestURI(), r.Host)
	})
	// As Bokeh's server does for a websocket: only a page of this address gets an answer.
	mux.HandleFunc("/strict", func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if own := "localhost:" + port; r.Header.Get("Origin") != "http://"+own || r.Host != own {
			http.Error(w, "refused: "+r.Host+" from "+r.Header.Get("Origin"), http.StatusForbidden)
			return
		}
		fmt.Fprintln(w, "welcome")
	})
	mux.HandleFunc("/env", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, strings.Join(os.Environ(), "\n"))
	})
	began := time.Now()
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		if time.Since(began) < o.healthyAfter {
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("/nosuch/", http.NotFound)
	mux.HandleFunc("/about", serveAbout)
	mux.HandleFunc("/make", makeFiles)
	mux.HandleFunc("/download", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		buf := make([]byte, 256<<10)
		for sent := int64(0); sent < n; {
			p := buf[:min(int64(len(buf)), n-sent)]
			fillPattern(p, sent)
			if _, err := w.Write(p); err != nil {
				return
			}
			sent += int64(len(p))
		}
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d %s %v", n, hex.EncodeToString(h.Sum(nil)), err)
	})
	mux.HandleFunc("/count", serveCount)
	mux.HandleFunc("/echo", serveEcho)
	(&extraServers{name: o.name}).registerHandlers(mux)
	mux.HandleFunc("/quit", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.FormValue("code"))
		fmt.Fprintf(os.Stderr, "testserver: asked to quit with %d\n", code)
		os.Exit(code)
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "closing")
		_ = l.Close()
	})
	inside := withLogin(o.token, mux)
	if !o.announce {
		return inside
	}
	outside := http.NewServeMux()
	outside.Handle("/", inside)
	outside.HandleFunc("/announce", func(http.ResponseWriter, *http.Request) { printLink(o, l) })
	return outside
}

// printLink prints the link with the token.
func printLink(o options, l net.Listener) {
	fmt.Printf("open http://%s/lab?token=%s\n", l.Addr(), o.token)
}

// serveAbout reports what the server was given: directory, CPUs, GPUs, and its job step, for which Slurm
// knows the memory.
func serveAbout(w http.ResponseWriter, _ *http.Request) {
	dir, _ := os.Getwd()
	fmt.Fprintf(w, "dir %s\n", dir)
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == "Cpus_allowed_list" {
			fmt.Fprintf(w, "cpus %s\n", strings.TrimSpace(value))
		}
	}
	fmt.Fprintf(w, "gpus %s\n", os.Getenv("CUDA_VISIBLE_DEVICES"))
	devices, _ := filepath.Glob("/dev/nvidia[0-9]*")
	fmt.Fprintf(w, "devices %d\n", len(devices))
	fmt.Fprintf(w, "step %s.%s\n", os.Getenv("SLURM_JOB_ID"), os.Getenv("SLURM_STEP_ID"))
}

// makeFiles creates a file and a directory in the directory dir, with modes left to the umask. It answers
// with their modes and removes them.
func makeFiles(w http.ResponseWriter, r *http.Request) {
	dir, err := os.MkdirTemp(r.FormValue("dir"), "made")
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file, sub := filepath.Join(dir, "file"), filepath.Join(dir, "sub")
	if f, err := os.Create(file); err == nil {
		_ = f.Close()
	}
	_ = os.Mkdir(sub, 0o777)
	for _, path := range []string{file, sub} {
		info, err := os.Stat(path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		fmt.Fprintf(w, "%04o ", info.Mode().Perm())
	}
}

// serveCount sends numbered lines, twenty a second, for as long as the connection lasts.
func serveCount(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		if _, err := fmt.Fprintln(w, n); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// serveEcho upgrades the connection to a plain stream, as a websocket does. It sends back what it receives
// until the other side ends its half.
func serveEcho(w http.ResponseWriter, _ *http.Request) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	_, _ = io.Copy(c, rw.Reader)
}

// serveTCP answers each connection by its first line:
//
//	SUM    read until EOF, then answer "COUNT SHA256\n": the client half-closes
//	PUSH n send n bytes of the pattern and half-close, then read until EOF
func serveTCP(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serveTCPConn(c.(*net.TCPConn))
	}
}

// serveTCPConn serves one connection of serveTCP.
func serveTCPConn(c *net.TCPConn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		return
	}
	verb, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
	h := sha256.New()
	if verb == "PUSH" {
		n, _ := strconv.ParseInt(arg, 10, 64)
		p := make([]byte, n)
		fillPattern(p, 0)
		_, _ = c.Write(p)
		_ = c.CloseWrite()
	}
	n, err := io.Copy(h, r)
	fmt.Printf("%s %d %s %v\n", verb, n, hex.EncodeToString(h.Sum(nil)), err)
	if verb == "SUM" {
		fmt.Fprintf(c, "%d %s\n", n, hex.EncodeToString(h.Sum(nil)))
	}
}
