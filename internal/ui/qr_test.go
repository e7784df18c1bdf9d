package ui

import (
	"strings"
	"testing"

	"rsc.io/qr"
)

// TestQR: the drawing, read back, is the code.
func TestQR(t *testing.T) {
	const text = "https://auth.cscs.ch/device?user_code=ABCD-EFGH"
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(QR(text, 80), "\n"), "\n")
	light := func(x, y int) bool {
		switch []rune(lines[y/2])[x] {
		case '█':
			return true
		case '▀':
			return y%2 == 0
		case '▄':
			return y%2 == 1
		}
		return false
	}
	size := code.Size + 2*quietZone
	if len(lines) != (size+1)/2 {
		t.Fatalf("%d lines for %d modules", len(lines), size)
	}
	for y := range size {
		for x := range size {
			if light(x, y) == code.Black(x-quietZone, y-quietZone) {
				t.Fatalf("wrong at %d,%d", x, y)
			}
		}
	}
	if QR(text, size-1) != "" || QR(strings.Repeat("x", 10000), 1000) != "" {
		t.Error("drawn though it does not fit")
	}
}
