//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// titles are the items in the table's order, with the aim of each.
var titles = []struct{ item, title, aim string }{
	{"first-200", "From the command to the first HTTP 200", "0.40, 0.50, 0.60 at 0, 20, 100 ms; 0.20 on 22.05"},
	{"jupyter", "From the command to JupyterLab's first answer", "0.9 by hand, 0.55 of the best tool"},
	{"grant-to-server", "From the grant to the server's process", "under 0.2 s"},
	{"dial", "Reach the login node through the jump host, run `true`", "half at RTT 0, three quarters at 100 ms"},
	{"leaves", "From Ctrl-C until squeue does not show the job", "under 1 s"},
	{"download", "One download of 256 MiB", "never slower"},
	{"100-requests", "100 parallel requests of 1 kB, each on its own connection", "never slower"},
	{"memory", "Resident memory with 100 open connections", "at most 25 MiB"},
	{"version", "`cscs version`, the whole process", ""},
	{"rpcs", "Requests to Slurm's controller for one session, by `sdiag`", "at most 12"},
}

// slurmVersions are the Slurm versions of the releases.
var slurmVersions = map[string]string{"bookworm": "22.05", "trixie": "24.11", "forky": "26.05"}

var releases = []string{"bookworm", "trixie", "forky"}

type key struct {
	item, release string
	rtt           int
}

// readResults returns the measured values by side, and the unit of each item. It fails if the table
// would lack a number.
func readResults(file string) (all map[key]map[string][]float64, units map[string]string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	all, units = map[key]map[string][]float64{}, map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, nil, fmt.Errorf("%q: %w", lines.Text(), err)
		}
		k := key{r.Item, r.Release, r.RTT}
		if all[k] == nil {
			all[k] = map[string][]float64{}
		}
		all[k][r.Side] = append(all[k][r.Side], r.Value)
		units[r.Item] = r.Unit
	}
	if err := lines.Err(); err != nil {
		return nil, nil, err
	}
	if err := checkComplete(all); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return all, units, nil
}

// writeTable writes the results as the table of docs/performance.md.
func writeTable(w io.Writer, file string) error {
	all, units, err := readResults(file)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "| What | Slurm | RTT | cscs | beside it | | ratio | aim |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|")
	for _, t := range titles {
		title := t.title + ", " + units[t.item]
		aim := t.aim
		for _, release := range releases {
			for _, rtt := range []int{0, 20, 100} {
				sides := all[key{t.item, release, rtt}]
				if sides == nil {
					continue
				}
				for _, other := range otherSides(sides) {
					ratio := ""
					if other != "" && !strings.HasPrefix(other, "cscs") {
						ratio = formatSpread(computeRatios(sides["cscs"], sides[other]))
					}
					fmt.Fprintf(w, "| %s | %s | %d ms | %s | %s | %s | %s | %s |\n", title, slurmVersions[release], rtt,
						formatSpread(sides["cscs"]), other, formatSpread(sides[other]), ratio, aim)
					title, aim = "″", ""
				}
			}
		}
	}
	return nil
}

// checkComplete fails if the table would lack a number: of cscs, of another side, or of an item that
// titles does not have.
func checkComplete(all map[key]map[string][]float64) error {
	if len(all) == 0 {
		return errors.New("there are no results")
	}
	for k, sides := range all {
		switch {
		case !slices.ContainsFunc(titles, func(t struct{ item, title, aim string }) bool { return t.item == k.item }):
			return fmt.Errorf("%+v: the table has no such item", k)
		case !slices.Contains(releases, k.release):
			return fmt.Errorf("%+v: the table has no such release", k)
		case len(sides["cscs"]) == 0:
			return fmt.Errorf("%+v: nothing was measured of cscs", k)
		case len(otherSides(sides)) == 0:
			return fmt.Errorf("%+v: nothing was measured beside cscs", k)
		}
	}
	return nil
}

// otherSides returns the sides that are compared with cscs, sorted.
func otherSides(sides map[string][]float64) []string {
	var names []string
	for name := range sides {
		if name != "cscs" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// computeRatios returns the ratio within each round, so that other load on the machine affects both values.
func computeRatios(ours, theirs []float64) []float64 {
	var all []float64
	for i := range min(len(ours), len(theirs)) {
		all = append(all, ours[i]/theirs[i])
	}
	return all
}

// formatSpread returns the median, the least and the greatest value.
func formatSpread(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	v := slices.Sorted(slices.Values(values))
	median := medianOf(values)
	if len(v) == 1 || v[0] == v[len(v)-1] {
		return formatNumber(median)
	}
	return fmt.Sprintf("**%s** (%s–%s)", formatNumber(median), formatNumber(v[0]), formatNumber(v[len(v)-1]))
}

func medianOf(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func formatNumber(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}
