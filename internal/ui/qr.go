package ui

import (
	"strings"

	"rsc.io/qr"
)

// quietZone is the border that a reader needs around a code, in modules: four by the
// standard (ISO 18004), but two do on a screen.
const quietZone = 2

// QR draws a QR code of text, two modules in each character, for a terminal of that many
// columns; "" if it does not fit. It is drawn light on dark, as it has to be where
// nobody knows the terminal's colours: readers take a code that is inverted, too.
func QR(text string, columns int) string {
	code, err := qr.Encode(text, qr.L)
	if err != nil || code.Size+2*quietZone > columns {
		return ""
	}
	light := func(x, y int) bool { return !code.Black(x-quietZone, y-quietZone) } // beyond its edge nothing is black
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
