//go:build unix

// Command testserver is the server that alice runs on a compute node in the
// end-to-end tests. Its flags are the ways in which servers misbehave.
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
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

type options struct {
	name       string
	tcp        bool
	ignoreTerm bool
	daemonise  bool
	floodMiB   int
	binary     bool
	secretLog  bool
	exit       int
	also       string
	retry      bool
}

func main() {
	var o options
	flag.StringVar(&o.name, "name", "alice", "how it answers to /")
	flag.BoolVar(&o.tcp, "tcp", false, "speak plain TCP: count and hash until EOF, then answer (half-close)")
	flag.BoolVar(&o.ignoreTerm, "ignore-term", false, "ignore SIGTERM, SIGINT and SIGHUP")
	flag.BoolVar(&o.daemonise, "daemonise", false, "serve from a child in a session of its own, and return")
	flag.IntVar(&o.floodMiB, "flood", 0, "write so many MiB to the log before listening")
	flag.BoolVar(&o.binary, "binary", false, "write all 256 byte values and terminal escapes to the log")
	flag.BoolVar(&o.secretLog, "print-env", false, "write the environment to the log")
	flag.IntVar(&o.exit, "exit", -1, "end at once with this code, after a last word")
	flag.StringVar(&o.also, "also", "", "a second address to listen on")
	flag.BoolVar(&o.retry, "retry", false, "try to bind again and again until the address is free")
	flag.Parse()
	if err := run(o, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		os.Exit(1)
	}
}

func run(o options, addr string) error {
	if o.ignoreTerm {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
	if o.binary {
		for i := range 256 {
			_, _ = os.Stdout.Write([]byte{byte(i)})
		}
		_, _ = os.Stdout.WriteString("\x1b]0;owned\a\x1b[2J\xff\xfe no newline at the end of this")
	}
	if err := flood(o.floodMiB); err != nil {
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
		return daemonise()
	}
	if o.also != "" {
		l, err := listen(o.also, false)
		if err != nil {
			return err
		}
		go drain(l)
	}
	l, err := listen(addr, o.retry)
	if err != nil {
		return err
	}
	fmt.Printf("testserver %s listens on %s\n", o.name, l.Addr())
	if o.tcp {
		return serveTCP(l)
	}
	s := &http.Server{Handler: handler(o, l), ReadHeaderTimeout: time.Minute}
	err = s.Serve(l)
	if errors.Is(err, net.ErrClosed) {
		// /close has closed the listener only: the process lives on.
		select {}
	}
	return err
}

func listen(addr string, retry bool) (net.Listener, error) {
	for {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
		if err == nil || !retry {
			return l, err
		}
	}
}

func drain(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

// daemonise leaves a child behind that has nothing in common with this process
// but its environment.
func daemonise() error {
	c := exec.CommandContext(context.Background(), os.Args[0], os.Args[1:]...)
	c.Env = append(os.Environ(), "TESTSERVER_CHILD=1")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c.Start()
}

func flood(mib int) error {
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
