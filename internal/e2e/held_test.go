//go:build lab

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHeldTooLong: while the line is cut, what asks in HTTP is answered after a minute, each in
// its way, and anything else is closed in order. What comes later and waits gets its answer
// from the server when the line is back.
func TestHeldTooLong(t *testing.T) {
	begin(t)
	s := serve(t, nil)
	ready := s.ready()
	cut(t)
	curl := func(args ...string) *background {
		argv := append([]string{"curl", "-sS", "-i", "--max-time", "100"}, args...)
		return start(t, as(context.Background(), "alice", "laptop", append(argv, ready.URL)...))
	}
	began := time.Now()
	asked := map[string]*background{
		"GET":  curl(),
		"HEAD": curl("--head"),
		// curl waits for "100 Continue", for a second, and sends then.
		"PUT": curl("-X", "PUT", "-H", "Expect: 100-continue", "--data-binary", "@/usr/bin/bash"),
	}
	other := start(t, as(context.Background(), "alice", "laptop", "bash", "-c",
		fmt.Sprintf(`exec 3<>/dev/tcp/127.0.0.1/%d; printf '\0hello' >&3; cat <&3 && echo ended in order`, ready.LocalPort)))
	for name, c := range asked {
		if code := c.exit(100 * time.Second); code != 0 {
			t.Errorf("%s: curl ended with %d: %s", name, code, c.stderr)
		}
		head, body, _ := strings.Cut(c.stdout.String(), "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 503 ") {
			t.Errorf("%s: got %q", name, head)
		}
		says(t, head, "Retry-After: 5", "Cache-Control: no-store", "Connection: close")
		if name != "HEAD" {
			says(t, body, "no way to the server")
		}
	}
	if d := time.Since(began); d < 59*time.Second || d > 70*time.Second {
		t.Errorf("it took %v", d)
	}
	if code := other.exit(patience); code != 0 || other.stdout.String() != "ended in order\n" {
		t.Errorf("the one that speaks no HTTP: %d %q %s", code, other.stdout, other.stderr)
	}

	late := curl("--data-binary", "not lost")
	s.wait("lost")
	tell(t, "heal")
	if code := late.exit(patience); code != 0 || !strings.Contains(late.stdout.String(), "alice /") {
		t.Errorf("the one that came later: %d %q %s", code, late.stdout, late.stderr)
	}
	closeReady(t, s)
}
