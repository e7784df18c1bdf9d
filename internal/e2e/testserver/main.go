//go:build unix

// Command testserver is the server that alice runs on a compute node in the end-to-end tests. Its flags
// make it misbehave as servers do.
//
//	testserver [flags] ADDRESS
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	name         string
	token        string
	announce     bool
	tcp          bool
	ignoreTerm   bool
	linger       time.Duration
	tell         bool
	daemonise    bool
	floodMiB     int
	binary       bool
	secretLog    bool
	exit         int
	also         string
	retry        bool
	healthyAfter time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.name, "name", "alice", "how it answers to /")
	flag.StringVar(&o.token, "token", "", "let in only who brings this token once, in the link that is printed, or its cookie")
	flag.BoolVar(&o.announce, "announce", false, "print that link when /announce is asked for, and not before")
	flag.BoolVar(&o.tcp, "tcp", false, "speak plain TCP: count and hash until EOF, then answer (half-close)")
	flag.BoolVar(&o.ignoreTerm, "ignore-term", false, "ignore SIGTERM, SIGINT and SIGHUP")
	flag.DurationVar(&o.linger, "linger", 0, "on SIGTERM, take so long to end; tell of each")
	flag.BoolVar(&o.tell, "tell", false, "tell of each connection, and of the first bytes that come over it")
	flag.BoolVar(&o.daemonise, "daemonise", false, "serve from a child in a session of its own, and return")
	flag.IntVar(&o.floodMiB, "flood", 0, "write so many MiB to the log before listening")
	flag.BoolVar(&o.binary, "binary", false, "write all 256 byte values and terminal escapes to the log")
	flag.BoolVar(&o.secretLog, "print-env", false, "write the environment to the log")
	flag.IntVar(&o.exit, "exit", -1, "end at once with this code, after a last word")
	flag.StringVar(&o.also, "also", "", "a second address to listen on")
	flag.BoolVar(&o.retry, "retry", false, "try to bind again and again until the address is free")
	flag.DurationVar(&o.healthyAfter, "healthy-after", 0, "/health answers 404 for so long, and then 200")
	flag.Parse()
	if err := runServer(o, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		os.Exit(1)
	}
}

// runServer applies the flags in their order of effect: signals, log, exit, then the listeners.
func runServer(o options, addr string) error {
	if o.ignoreTerm {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
	if o.linger > 0 {
		terms := make(chan os.Signal, 100)
		signal.Notify(terms, syscall.SIGTERM)
		go lingerOnTerm(terms, o.linger)
	}
	if o.binary {
		for i := range 256 {
			_, _ = os.Stdout.Write([]byte{byte(i)})
		}
		_, _ = os.Stdout.WriteString("\x1b]0;owned\a\x1b[2J\xff\xfe no newline at the end of this")
	}
	if err := floodLog(o.floodMiB); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	if o.secretLog {
		fmt.Println(os.Environ())
	}
	if o.exit >= 0 {
		fmt.Fprintf(os.Stderr, "last words of testserver\n")
		os.Exit(o.exit)
	}
	if o.daemonise && os.Getenv("TESTSERVER_CHILD") == "" {
		return startDaemon()
	}
	if o.also != "" {
		l, err := openListener(o.also, false)
		if err != nil {
			return err
		}
		go acceptAndClose(l)
	}
	l, err := openListener(addr, o.retry)
	if err != nil {
		return err
	}
	if o.tell {
		l = &loggingListener{Listener: l}
	}
	fmt.Printf("testserver %s listens on %s\n", o.name, l.Addr())
	if o.token != "" && !o.announce {
		printLink(o, l)
	}
	if o.tcp {
		return serveTCP(l)
	}
	s := &http.Server{Handler: newHandler(o, l), ReadHeaderTimeout: time.Minute}
	err = s.Serve(l)
	if errors.Is(err, net.ErrClosed) {
		// /close has closed the listener only. The process must continue.
		select {}
	}
	return err
}

// lingerOnTerm ends the process d after the first SIGTERM, and writes a line for each SIGTERM until then.
func lingerOnTerm(terms <-chan os.Signal, d time.Duration) {
	var over <-chan time.Time
	for {
		select {
		case <-terms:
			fmt.Println("testserver: SIGTERM")
			if over == nil {
				over = time.After(d)
			}
		case <-over:
			fmt.Println("testserver: finished")
			os.Exit(0)
		}
	}
}

// openListener listens on addr. With retry it tries until addr is free.
func openListener(addr string, retry bool) (net.Listener, error) {
	network, at := "tcp", netip.AddrPort{}
	if literal, err := netip.ParseAddrPort(addr); err == nil {
		at = literal
	}
	// With "tcp", 0.0.0.0 would become an IPv6 socket.
	if at.Addr().Is4() {
		network = "tcp4"
	}
	bind := func() (net.Listener, error) {
		if at.Addr().Is4In6() {
			return listenMapped(at)
		}
		return new(net.ListenConfig).Listen(context.Background(), network, addr)
	}
	for {
		l, err := bind()
		if err == nil || !retry {
			return l, err
		}
	}
}

// listenMapped listens on an IPv4 address through an IPv6 socket, as for example Java's servers do. Package
// net would make an IPv4 socket.
func listenMapped(at netip.AddrPort) (net.Listener, error) {
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), at.String())
	defer func() { _ = f.Close() }()
	if err := syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 0); err != nil {
		return nil, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}); err != nil {
		return nil, err
	}
	if err := syscall.Listen(fd, 128); err != nil {
		return nil, err
	}
	return net.FileListener(f)
}

func acceptAndClose(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

// startDaemon starts a child in a session of its own. The child shares only its environment and its
// output with this process.
func startDaemon() error {
	c := exec.CommandContext(context.Background(), os.Args[0], os.Args[1:]...)
	c.Env = append(os.Environ(), "TESTSERVER_CHILD=1")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c.Start()
}

func floodLog(mib int) error {
	line := append(bytes.Repeat([]byte("flood "), 170), "end\n"...)
	block := bytes.Repeat(line, (1<<20)/len(line)+1)[:1<<20]
	for range mib {
		if _, err := os.Stdout.Write(block); err != nil {
			return err
		}
	}
	if mib > 0 {
		_, err := fmt.Println("\nthe flood is over")
		return err
	}
	return nil
}
