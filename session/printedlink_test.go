package session

import (
	"errors"
	"strings"
	"testing"
)

// The link is found however the log comes in parts, and not in a line that goes on; a long log ends the search.
func TestLinkSeeker(t *testing.T) {
	const log = "starting\nopen http://127.0.0.1:8888/lab?token=a1b2c3d4e5f6\nmore\n"
	for size := 1; size <= len(log); size++ {
		l := &linkSeeker{port: 8888}
		var err error
		for rest := log; rest != "" && err == nil; {
			part := rest[:min(size, len(rest))]
			rest = rest[len(part):]
			_, err = l.Write([]byte(part))
		}
		if !errors.Is(err, errLinkFound) || l.link.Path != "/lab" || l.link.Query.Get("token") != "a1b2c3d4e5f6" {
			t.Errorf("in parts of %d: %v, %v", size, l.link, err)
		}
	}
	l := &linkSeeker{port: 8888}
	if _, err := l.Write([]byte(strings.Repeat("x", printedMax+1))); !errors.Is(err, errNoLink) {
		t.Errorf("a long log: %v", err)
	}
}
