package forward

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"time"
)

const (
	// retryAfter is what a client that has waited in vain is told to wait before it
	// asks again. The next request waits here itself, for as long as
	// [Listener.Hold], so that the number only has to keep clients from asking in
	// circles; small, it costs nobody time when the server is back.
	retryAfter = 5 * time.Second

	// requestLineTime is how long a client that has waited for a minute may still
	// take to finish, or begin, its request line.
	requestLineTime = time.Second
	requestLineMax  = 16 << 10 // browsers and servers differ; few go beyond 8 KiB
	methodMax       = 20
)

// Unavailable is one sentence for a person who has waited in vain, where no [Room] knows more.
const Unavailable = "There is no way to the server at present: cscs is looking for one, and this address answers again when it is found."

// turnAway ends a connection that waited in vain. A client that has asked for
// something in HTTP/1 is told so in HTTP, since most of them take the end of an
// empty answer for a mistake of the server's and show a riddle. Any other sees an
// orderly end: TLS, HTTP/2, another protocol, or a browser's connection in stock,
// over which nothing was sent yet.
//
// Nothing of what a client sends is read before its wait is over, so that a target
// that comes in time gets all of it, from the kernel's buffer.
func turnAway(ctx context.Context, c net.Conn, why string) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if method, ok := readRequestLine(c); ok {
		_ = c.SetWriteDeadline(time.Now().Add(lingerTime))
		_, _ = c.Write(unavailableAnswer(method, why))
	}
	closeGracefully(ctx, c)
}

// unavailableAnswer tells why, and is final for a client with "Expect: 100-continue", too, which keeps its
// body then.
func unavailableAnswer(method, why string) []byte {
	why += "\n"
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 503 Service Unavailable\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n" +
		"Content-Length: " + strconv.Itoa(len(why)) + "\r\n" +
		"Retry-After: " + strconv.Itoa(int(retryAfter/time.Second)) + "\r\n" +
		"Cache-Control: no-store\r\n" +
		"Connection: close\r\n\r\n")
	if method != "HEAD" {
		b.WriteString(why)
	}
	return b.Bytes()
}

// readRequestLine reads what the client has sent, until it is a request line of HTTP/1 or
// can become none.
func readRequestLine(c net.Conn) (method string, ok bool) {
	_ = c.SetReadDeadline(time.Now().Add(requestLineTime))
	var got []byte
	for p := make([]byte, 4<<10); ; {
		n, err := c.Read(p)
		got = append(got, p[:n]...)
		line, _, whole := bytes.Cut(got, []byte("\n"))
		switch {
		case whole:
			return requestMethod(line)
		case err != nil, !mayBeRequest(line), len(line) > requestLineMax:
			return "", false
		}
	}
}

// requestMethod takes a line for a request line of HTTP/1 (RFC 9112, section 3) only if it is
// one to the end: "GET" alone begins lines of other protocols.
func requestMethod(line []byte) (method string, ok bool) {
	fields := bytes.Split(bytes.TrimSuffix(line, []byte("\r")), []byte(" "))
	if len(fields) != 3 || len(fields[1]) == 0 || !isMethod(fields[0]) {
		return "", false
	}
	switch string(fields[2]) {
	case "HTTP/1.1", "HTTP/1.0":
		return string(fields[0]), true
	}
	return "", false
}

// mayBeRequest reports whether a method, and more, may become of the beginning of a line.
func mayBeRequest(line []byte) bool {
	method, _, _ := bytes.Cut(line, []byte(" "))
	return len(line) == 0 || isMethod(method)
}

// isMethod knows methods by their form, since there are many: GET, PROPFIND, VERSION-CONTROL.
func isMethod(b []byte) bool {
	if len(b) == 0 || len(b) > methodMax {
		return false
	}
	for _, c := range b {
		if (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}
