//go:build linux

// Package strangertest runs processes of another user, to test that they are not trusted. The tests
// run as root, as scripts/test does.
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

// UID is the other user, nobody, which every system has.
const UID = 65534

// orderEnv makes the test binary run an order and exit.
const orderEnv = "CSCS_TEST_STRANGER"

// init runs the order if Start started this process, so no TestMain is needed.
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

// plantFile creates a file that every user may use.
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

// reportAnswerSize sends a request to a server and prints the number of bytes in the answer.
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

// askFirstLine sends a quoted request, closes its half of the connection, and prints the first line
// of the answer.
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

// greetClients prints its address on the loopback, and sends a line to each client.
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

// listenUnix listens on a unix socket and prints how many bytes each client sends.
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
// "mkdir DIR", "symlink TARGET NAME", "fifo NAME", "file NAME", "connect SOCKET", "listen SOCKET",
// "visit HOST:PORT", "ask HOST:PORT QUOTED-REQUEST", "reset HOST:PORT QUOTED-REQUEST", "greet LINE".
// says returns the next line that the process prints. Most orders print an error or <nil>, or the
// number of bytes received; see their functions.
func Start(t *testing.T, order string) (says func() string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test must run as root, as scripts/test does: it needs a process of another user")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe") // the other user cannot reach the test binary's directory
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

// Plant runs an order of the other user that must succeed.
func Plant(t *testing.T, order string) {
	t.Helper()
	if said := Start(t, order)(); said != "<nil>" {
		t.Fatalf("%s: %s", order, said)
	}
}

// Listen makes the other user listen on a unix socket in dir, and then restores dir's mode. The
// function says is that of Start.
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

// PublicDir returns a directory like /tmp with a short path: every user may write in it, and it has
// the sticky bit.
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
