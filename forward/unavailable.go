package forward

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"time"
)

const (
	// retryAfter is the Retry-After of the 503. The next request waits at this port itself, up to
	// [Listener.Hold]. So the value only stops clients from retrying in a tight loop, and a small
	// one loses no time when the server is back.
	retryAfter = 5 * time.Second

	// requestLineTime is how long a client may still take, after the wait, for its request line.
	requestLineTime = time.Second
	requestLineMax  = 16 << 10 // browsers and servers differ; few go beyond 8 KiB
	methodMax       = 20
)

// Unavailable is the sentence that the user reads after the wait, if no [Room] says more.
const Unavailable = "There is no way to the server at present: cscs is looking for one, and this address answers again when it is found."

// turnAway ends a connection after its wait. A client that has sent a request of HTTP/1 receives a
// 503: most clients take an empty answer for an error of the server and show an unhelpful message.
// Any other client sees an orderly end: TLS, HTTP/2, another protocol, or a spare connection of a
// browser.
//
// The listener reads nothing during the wait, so a target that comes in time receives all of it
// from the kernel's buffer.
func turnAway(ctx context.Context, c net.Conn, why string) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if method, ok := readRequestLine(c); ok {
		_ = c.SetWriteDeadline(time.Now().Add(lingerTime))
		_, _ = c.Write(unavailableAnswer(method, why))
	}
	closeGracefully(ctx, c)
}

// unavailableAnswer returns the 503. It is final also for a client with "Expect: 100-continue",
// which then does not send its body.
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

// readRequestLine reads from c until it has a request line of HTTP/1, or bytes that cannot become
// one. It returns the method.
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

// requestMethod returns the method of a request line of HTTP/1 (RFC 9112, section 3). The whole
// line must match: "GET" alone begins lines of other protocols too.
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

// mayBeRequest reports whether the beginning of a line can become a request line.
func mayBeRequest(line []byte) bool {
	method, _, _ := bytes.Cut(line, []byte(" "))
	return len(line) == 0 || isMethod(method)
}

// isMethod reports whether b has the form of a method, such as GET or VERSION-CONTROL. A list would be long.
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
