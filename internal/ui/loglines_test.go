package ui

import (
	"bytes"
	"io"
	"testing"
)

// TestLog: a log goes out as it is, but cannot steer the terminal of who looks at it.
func TestLog(t *testing.T) {
	const said = "\x1b[31mred\x1b[0m\n  \x1b]0;title\x07in\x1b[?1049h\n10%\r20%\nno end"
	for tty, want := range map[bool]string{false: said, true: "red\n  in\n20%\nno end\n"} {
		var out bytes.Buffer
		to, done := Log(&IO{Out: &out, OutTTY: tty})
		for _, b := range []byte(said) { // sequences come in pieces
			if _, err := to.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		done()
		if out.String() != want {
			t.Errorf("terminal: %v: %q, want %q", tty, out.String(), want)
		}
	}
	_, done := Log(&IO{Out: io.Discard, OutTTY: true})
	done()
}
