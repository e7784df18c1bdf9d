//go:build linux

package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
)

// drawChart draws an SVG chart of the median times from the command to JupyterLab's first answer. Each
// round trip has a group of bars.
func drawChart(w io.Writer, file string) error {
	all, _, err := readResults(file)
	if err != nil {
		return err
	}
	const left, width, height, gap = 170, 380, 18, 12
	const item, release = "jupyter", "trixie"
	var bars strings.Builder
	y := 44
	write := func(x, y int, class, text string) {
		fmt.Fprintf(&bars, `<text x="%d" y="%d" class="%s">`, x, y, class)
		_ = xml.EscapeText(&bars, []byte(text))
		bars.WriteString("</text>\n")
	}
	most := 0.0
	for k, sides := range all {
		for _, values := range sides {
			if k.item == item && k.release == release {
				most = max(most, medianOf(values))
			}
		}
	}
	if most == 0 {
		return fmt.Errorf("%s: nothing was measured of %s", file, item)
	}
	for _, rtt := range []int{0, 20, 100} {
		sides := all[key{item, release, rtt}]
		if sides == nil {
			continue
		}
		y += gap
		write(0, y, "group", fmt.Sprintf("round trip %d ms", rtt))
		names := otherSides(sides)
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(medianOf(sides[a]), medianOf(sides[b])) })
		for _, name := range slices.Insert(names, 0, "cscs") {
			median := medianOf(sides[name])
			length := int(median / most * width)
			y += height
			write(0, y, "name", name)
			class := "other"
			if name == "cscs" {
				class = "cscs"
			}
			fmt.Fprintf(&bars, `<rect x="%d" y="%d" width="%d" height="%d" class="%s"/>`+"\n", left, y-11, length, height-4, class)
			write(left+length+6, y, "name", formatNumber(median)+" s")
		}
		y += height
	}
	_, err = fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 %d" role="img" aria-labelledby="title">
<title id="title">Time from the command to JupyterLab's first answer, Slurm %s, median</title>
<style>
text { font: 12px sans-serif; fill: #24292f } .title { font-size: 14px; font-weight: bold } .group { fill: #57606a }
.cscs { fill: #1a7f37 } .other { fill: #8c959f }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .group { fill: #8b949e } .cscs { fill: #3fb950 } .other { fill: #6e7681 } }
</style>
<text x="0" y="20" class="title">From the command to JupyterLab in the browser (Slurm %s, median)</text>
%s</svg>
`, y, slurmVersions[release], slurmVersions[release], bars.String())
	return err
}
