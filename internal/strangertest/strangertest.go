//go:build linux

// Package strangertest runs processes of another user, for the tests of what must not be trusted.
// The tests run as root, as scripts/test does.
package strangertest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// UID is the other user, which every system has.
const UID = 65534

// orderEnv makes of the test binary a process that does what its value says.
const orderEnv = "CSCS_TEST_STRANGER"

// init does what this process was started for, if it was by Start: no TestMain need know.
func init() {
	order := os.Getenv(orderEnv)
	if order == "" {
		return
	}
	_ = syscall.Umask(0)
	verb, path, _ := strings.Cut(order, " ")
	switch verb {
	case "connect":
		reportAnswerSize("unix", path)
	case "visit":
		reportAnswerSize("tcp", path)
	case "ask":
		askFirstLine(path)
	case "reset":
		sendAndReset(path)
	case "greet":
		greetClients(path)
	case "listen":
		listenUnix(path)
	default:
		fmt.Fprintln(os.Stdout, plantFile(verb, path)) //nolint:forbidigo // a test reads it
	}
	os.Exit(0) //nolint:forbidigo // it is a process of its own
}

// plantFile makes something that everyone may use.
func plantFile(verb, path string) error {
	switch verb {
	case "mkdir":
		return os.Mkdir(path, 0o777)
	case "symlink":
		target, name, _ := strings.Cut(path, " ")
		return os.Symlink(target, name)
	case "fifo":
		return syscall.Mkfifo(path, 0o666)
	case "file":
		return os.WriteFile(path, []byte("planted"), 0o666)
	}
	return errors.New("unknown order " + verb)
}

// reportAnswerSize says how much a server answers to a request.
func reportAnswerSize(network, address string) {
	conn, err := net.Dial(network, address)
	if err != nil {
		fmt.Fprintln(os.Stdout, err) //nolint:forbidigo // a test reads it
		return
	}
	_, _ = io.WriteString(conn, "GET /link HTTP/1.0\r\n\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer, _ := io.ReadAll(conn)
	fmt.Fprintf(os.Stdout, "%d bytes\n", len(answer)) //nolint:forbidigo // a test reads it
}

// askFirstLine sends a quoted request, ends its half of the connection, and says the first line of the
// answer.
func askFirstLine(order string) {
	address, quoted, _ := strings.Cut(order, " ")
	request, err := strconv.Unquote(quoted)
	if err != nil {
		fmt.Fprintln(os.Stdout, err) //nolint:forbidigo // a test reads it
		return
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stdout, err) //nolint:forbidigo // a test reads it
		return
	}
	_, _ = io.WriteString(conn, request)
	_ = conn.(*net.TCPConn).CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	fmt.Fprintln(os.Stdout, strings.TrimSpace(line)) //nolint:forbidigo // a test reads it
}

// sendAndReset sends a quoted request, resets the connection, and prints the error or <nil>.
func sendAndReset(order string) {
	address, quoted, _ := strings.Cut(order, " ")
	request, err := strconv.Unquote(quoted)
	if err == nil {
		err = resetAfter(address, request)
	}
	fmt.Fprintln(os.Stdout, err) //nolint:forbidigo // a test reads it
}

func resetAfter(address, request string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	_, writeErr := io.WriteString(conn, request)
	return errors.Join(writeErr, conn.(*net.TCPConn).SetLinger(0), conn.Close())
}

// greetClients says its port of the loopback, and sends a line to each client.
func greetClients(line string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return
	}
	fmt.Fprintln(os.Stdout, l.Addr()) //nolint:forbidigo // a test reads it
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, line)
	}
}

// listenUnix says how much each that connects to a unix socket sends.
func listenUnix(path string) {
	l, err := net.Listen("unix", path)
	fmt.Fprintln(os.Stdout, err) //nolint:forbidigo // a test reads it
	for err == nil {
		var conn net.Conn
		if conn, err = l.Accept(); err != nil {
			return
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		heard, _ := io.ReadAll(conn)
		_ = conn.Close()
		fmt.Fprintf(os.Stdout, "%d bytes\n", len(heard)) //nolint:forbidigo // a test reads it
	}
}

// Start starts a process of the other user, which ends with the test. An order is one of
// "mkdir DIR", "symlink TARGET NAME", "fifo NAME", "file NAME", "connect SOCKET", "listen SOCKET", "visit HOST:PORT",
// "ask HOST:PORT QUOTED-REQUEST", "reset HOST:PORT QUOTED-REQUEST", "greet LINE". The function
// gives the next line that it says: an error or <nil>; then, for each connection, how many bytes it got.
func Start(t *testing.T, order string) (says func() string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test must run as root, as scripts/test does: it needs a process of another user")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe") // the test binary lies where others cannot go
	cmd.Env = append(os.Environ(), orderEnv+"="+order)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: UID, Gid: UID}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	return func() string {
		lines.Scan()
		return lines.Text()
	}
}

// Plant has the other user do something that must succeed.
func Plant(t *testing.T, order string) {
	t.Helper()
	if said := Start(t, order)(); said != "<nil>" {
		t.Fatalf("%s: %s", order, said)
	}
}

// Listen has the other user listen at a unix socket in a directory that is this user's alone again
// afterwards. The function gives the next line, as Start's.
func Listen(t *testing.T, dir, path string) (says func() string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	says = Start(t, "listen "+path)
	if said := says(); said != "<nil>" {
		t.Fatal(said)
	}
	if err := os.Chmod(dir, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
	return says
}

// PublicDir is a directory like /tmp, whose path is short.
func PublicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p") //nolint:usetesting // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return dir
}
