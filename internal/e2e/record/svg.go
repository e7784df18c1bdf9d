//go:build unix

package main

import (
	"bytes"
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"
)

const (
	cellWidth, lineHeight = 7.8, 18 // pixels, for 13 px letters
	margin                = 12
	lastFrameTime         = 3 * time.Second // of the last frame, before the animation starts again
)

// colours are the colours of SGR 30 to 37 that recordings use, readable on the dark background.
var colours = map[int]string{31: "#f47067", 32: "#8ddb8c", 33: "#daaa3f"}

// drawSVG draws the animation. Each frame is visible from its time to that of the next.
func drawSVG(frames []frame, length time.Duration, w, h int) []byte {
	var b bytes.Buffer
	length += lastFrameTime
	width, height := int(float64(w)*cellWidth)+2*margin, h*lineHeight+2*margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="13" fill="#d1d7e0">`, width, height, width, height)
	fmt.Fprintf(&b, "\n<rect width=\"100%%\" height=\"100%%\" rx=\"6\" fill=\"#151b23\"/>\n<style>g{visibility:hidden;animation:%.1fs step-end infinite}text{white-space:pre}\n", length.Seconds())
	for i, f := range frames {
		from, to := percentOf(f.at, length), 100.0
		if i+1 < len(frames) {
			to = percentOf(frames[i+1].at, length)
		}
		fmt.Fprintf(&b, "#f%d{animation-name:k%d}@keyframes k%d{0%%{visibility:%s}%.2f%%{visibility:visible}%.2f%%{visibility:hidden}}\n", i, i, i, initialVisibility(i), from, to)
	}
	// With reduced motion, show one late frame from before the end.
	fmt.Fprintf(&b, "@media(prefers-reduced-motion){g{animation:none!important}#f%d{visibility:visible}}</style>\n", max(len(frames)*2/3-1, 0))
	for i, f := range frames {
		fmt.Fprintf(&b, "<g id=\"f%d\">", i)
		for y, l := range f.lines {
			if text := renderLine(l); text != "" {
				fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\">%s</text>", margin, margin+lineHeight*(y+1)-5, text)
			}
		}
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func initialVisibility(i int) string {
	if i == 0 {
		return "visible"
	}
	return "hidden"
}

func percentOf(at, of time.Duration) float64 { return 100 * at.Seconds() / of.Seconds() }

// renderLine renders a line with its colours.
func renderLine(l string) string {
	var b strings.Builder
	style := ""
	put := func(text string) {
		switch {
		case text == "":
		case style == "":
			b.WriteString(html.EscapeString(text))
		default:
			b.WriteString("<tspan" + style + ">" + html.EscapeString(text) + "</tspan>")
		}
	}
	at := 0
	for _, m := range sgr.FindAllStringIndex(l, -1) {
		put(l[at:m[0]])
		style = applySGR(style, l[m[0]+2:m[1]-1])
		at = m[1]
	}
	put(strings.TrimRight(l[at:], " "))
	return b.String()
}

// applySGR returns the style after an SGR sequence.
func applySGR(style, numbers string) string {
	for n := range strings.SplitSeq(numbers, ";") {
		code, _ := strconv.Atoi(n)
		switch {
		case code == 0:
			style = ""
		case code == 1:
			style += ` font-weight="bold"`
		case code == 2:
			style += ` opacity=".6"`
		case code == 39:
			style = ""
		case colours[code] != "":
			style = ` fill="` + colours[code] + `"`
		}
	}
	return style
}
