package ui

import (
	"strings"

	"rsc.io/qr"
)

// quietZone is the border around the code, in modules. The standard (ISO 18004) requires four; two suffice on a
// screen.
const quietZone = 2

// QR draws a QR code of text, two modules per character, or returns "" if it needs more than columns. The
// terminal's colours are not known, so the code may appear inverted. Readers accept that.
func QR(text string, columns int) string {
	code, err := qr.Encode(text, qr.L)
	if err != nil || code.Size+2*quietZone > columns {
		return ""
	}
	light := func(x, y int) bool { return !code.Black(x-quietZone, y-quietZone) } // no module outside the code is black
	var b strings.Builder
	size := code.Size + 2*quietZone
	for y := 0; y < size; y += 2 {
		for x := range size {
			upper, lower := light(x, y), y+1 < size && light(x, y+1)
			switch {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
