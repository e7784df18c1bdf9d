//go:build linux

// Command bench compares cscs in the lab with what it replaces: the recipe by hand, OpenSSH, and other
// tools. The two sides of a comparison take turns in one run, so other load on the machine affects both.
//
//	bench run --cscs BIN --peers DIR --rounds N [--only REGEX] >>RESULTS   measure in the running lab
//	bench table RESULTS                                                    the table of docs/performance.md
//	bench chart RESULTS                                                    its chart
//	bench cuts --cscs BIN [--cuts N] [--sessions N]                        in the lab: recovery times after cuts
//	bench dial KEY KNOWN_HOSTS                                             on the laptop: dial the chain, run true
//
// scripts/bench calls it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"

	"github.com/alps-tunnel/cscs/internal/lab/labctl"
)

// A result is one measurement, a line of the results file.
type result struct {
	Release string  `json:"release"`
	Item    string  `json:"item"`
	RTT     int     `json:"rtt_ms"`
	Side    string  `json:"side"` // "cscs", or what it is compared with
	Round   int     `json:"round"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
}

// A bench is one run in one lab.
type bench struct {
	*labctl.Lab
	cscs   string
	peers  string // where scripts/bench has installed the other tools
	self   string
	rounds int
	only   *regexp.Regexp
	out    *json.Encoder
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "dial":
		err = dialAndExec(ctx, os.Args[2], os.Args[3])
	case len(os.Args) == 3 && os.Args[1] == "table":
		err = writeTable(os.Stdout, os.Args[2])
	case len(os.Args) == 3 && os.Args[1] == "chart":
		err = drawChart(os.Stdout, os.Args[2])
	case len(os.Args) > 1 && os.Args[1] == "run":
		err = runBenchmarks(ctx, os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "cuts":
		err = measureCuts(ctx, os.Args[2:])
	default:
		err = fmt.Errorf("usage: bench run|cuts|table|chart|dial: see the source")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// runBenchmarks measures all items at all their round trips and prints the results.
func runBenchmarks(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	cscs := flags.String("cscs", "", "the built cscs, inside the checkout")
	peers := flags.String("peers", "", "where the other tools are installed")
	rounds := flags.Int("rounds", 5, "how often each is measured")
	only := flags.String("only", "", "only the items that match")
	_ = flags.Parse(args)
	if *rounds < 1 {
		return fmt.Errorf("--rounds %d: nothing would be measured", *rounds)
	}
	re, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b, err := openBench(ctx, *cscs)
	if err != nil {
		return err
	}
	b.self, b.peers, b.rounds, b.only, b.out = self, *peers, *rounds, re, json.NewEncoder(os.Stdout)
	for _, item := range b.measuredItems() {
		if !re.MatchString(item.name) {
			continue
		}
		for _, rtt := range item.rtts {
			if err := b.runLabCommand(ctx, "rtt", rtt.String()); err != nil {
				return err
			}
			began := time.Now()
			if err := item.measure(ctx, record{b, item.name, int(rtt.Milliseconds())}); err != nil {
				return fmt.Errorf("%s at %v: %w", item.name, rtt, err)
			}
			fmt.Fprintf(os.Stderr, "%s: %s at rtt %v: %.0f s\n", b.Env["LAB_RELEASE"], item.name, rtt, time.Since(began).Seconds())
		}
	}
	return b.runLabCommand(ctx, "rtt", "0")
}

// openBench opens the running lab and prepares it for the built cscs.
func openBench(ctx context.Context, cscs string) (*bench, error) {
	bin, err := filepath.Abs(cscs)
	if err != nil {
		return nil, err
	}
	l, err := labctl.Open(ctx, "scripts/lab")
	if err != nil {
		return nil, err
	}
	b := &bench{Lab: l, cscs: bin}
	return b, b.prepareLab(ctx)
}

// A record writes the results of one item at one round trip.
type record struct {
	*bench
	item string
	rtt  int
}

func (r record) writeResult(side string, round int, value float64, unit string) error {
	return r.out.Encode(result{Release: r.Env["LAB_RELEASE"], Item: r.item, RTT: r.rtt, Side: side, Round: round, Value: value, Unit: unit})
}

type item struct {
	name    string
	rtts    []time.Duration
	measure func(context.Context, record) error
}

const ms = time.Millisecond

// measuredItems returns the items. Those that depend on Slurm's speed are measured on each release,
// the others on one.
func (b *bench) measuredItems() []item {
	items := []item{
		{"first-200", []time.Duration{0, 20 * ms, 100 * ms}, b.firstAnswer},
	}
	if b.Env["LAB_RELEASE"] != "trixie" {
		return items
	}
	return append(items,
		item{"dial", []time.Duration{0, 20 * ms, 100 * ms}, b.measureDials},
		item{"transfer", []time.Duration{0, 20 * ms}, b.measureTransfers},
		item{"leaves", []time.Duration{0}, b.measureJobEnd},
		item{"version", []time.Duration{0}, b.measureVersion},
		item{"jupyter", []time.Duration{0, 20 * ms}, b.measureJupyter}, // the last, because it changes alice's PATH
	)
}

func (b *bench) runLabCommand(ctx context.Context, args ...string) error {
	if out, err := b.Command(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/lab %q: %w\n%s", args, err, out)
	}
	return nil
}
