//go:build linux

// Command wire is the lab's delay line. It carries packets between two tun devices and delivers each
// after half the round trip. Not every kernel has sch_netem. A test can also cut, heal and lengthen
// this line while connections use it.
//
//	wire serve SOCKET            run the line; controlled through SOCKET
//	wire ctl SOCKET COMMAND...   send one command, print the answer
//
// Commands:
//
//	attach a|b NAME   create the tun device NAME as that end of the line, in
//	                  wire's own network namespace; the caller moves it
//	detach a|b        remove that end's device at once
//	cut | heal        drop everything, silently | carry again
//	rtt DURATION      the round trip; half of it each way
//	loss PERCENT      drop this percentage of packets
//	status            one line of key=value words
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "wire:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serveSocket(args[1])
	case len(args) >= 3 && args[0] == "ctl":
		return sendCommand(args[1], strings.Join(args[2:], " "))
	}
	return fmt.Errorf("usage: wire serve SOCKET | wire ctl SOCKET COMMAND")
}

// serveSocket answers one command per connection, one connection after the other. So a command has
// taken effect when the caller reads the answer.
func serveSocket(socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	w := newWire()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		answerCommand(w, c)
	}
}

func answerCommand(w *wire, c net.Conn) {
	defer func() { _ = c.Close() }()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return
	}
	text, err := w.runCommand(strings.Fields(line))
	if err != nil {
		text = "error: " + err.Error()
	}
	_, _ = fmt.Fprintln(c, text)
}

// sendCommand sends a command to a running wire and prints the answer.
func sendCommand(socket, command string) error {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprintln(c, command); err != nil {
		return err
	}
	text, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return fmt.Errorf("no answer to %q: %w", command, err)
	}
	if message, failed := strings.CutPrefix(text, "error: "); failed {
		return fmt.Errorf("%s", strings.TrimSpace(message))
	}
	fmt.Print(text)
	return nil
}
