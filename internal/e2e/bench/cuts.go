//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A cutResult is one session's answer after one cut, a line of the results file.
type cutResult struct {
	Cut     int     `json:"cut"`
	Length  float64 `json:"length_s"`
	Side    string  `json:"side"`    // whether the session shares its login
	Session int     `json:"session"` // its number within that side
	Value   float64 `json:"value_s"` // from the network's return to the first answer
}

// A client is a session that gets requests during and after each cut.
type client struct {
	*session
	side string
	nth  int
	read chan struct{} // closed when its output has ended
}

// endClient ends the session as Ctrl-C does and waits for it.
func (c client) endClient() error {
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	<-c.read
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("cscs: %w: %s", err, c.stderr.String())
	}
	return nil
}

// measureCuts cuts the line at random moments, for random times, while one session has a login of its
// own and several share one. It writes the time from the network's return to the first answer of each
// session's URL, and prints the distribution.
func measureCuts(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("cuts", flag.ExitOnError)
	cscs := flags.String("cscs", "", "the built cscs, inside the checkout")
	count := flags.Int("cuts", 50, "how many cuts")
	sessions := flags.Int("sessions", 3, "how many sessions share one login")
	seed := flags.Uint64("seed", 1, "of the lengths and moments of the cuts")
	shortest, longest := flags.Duration("shortest", time.Second, "cut"), flags.Duration("longest", 30*time.Second, "cut")
	rtt := flags.Duration("rtt", 0, "of the line")
	_ = flags.Parse(args)
	b, err := openBench(ctx, *cscs)
	if err != nil {
		return err
	}
	if err := b.runLabCommand(ctx, "rtt", rtt.String()); err != nil {
		return err
	}
	clients, err := b.startClients(ctx, *sessions, *count+10)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(*seed, 0))
	out, values := json.NewEncoder(os.Stdout), map[string][]float64{}
	for cut := range *count {
		if err := b.awaitLogins(ctx, 2); err != nil {
			return err
		}
		// A client replaces no connection younger than 20 s, except after a silence of 15 s.
		sleepContext(ctx, 20*time.Second+time.Duration(random.Int64N(int64(2*time.Second))))
		// Uniform on a logarithmic scale: TCP doubles its pauses, so each pause gets the same weight.
		length := shortest.Seconds() * math.Pow(longest.Seconds()/shortest.Seconds(), random.Float64())
		took, err := b.measureRecovery(ctx, clients, time.Duration(length*float64(time.Second)))
		if err != nil {
			return err
		}
		for i, c := range clients {
			r := cutResult{cut, length, c.side, c.nth, took[i].Seconds()}
			values[c.side] = append(values[c.side], r.Value)
			if err := out.Encode(r); err != nil {
				return err
			}
		}
	}
	fmt.Fprintln(os.Stderr, "| sessions | RTT | answers | least, s | median | 90 % | greatest | above 1.5 s |")
	fmt.Fprintln(os.Stderr, "|---|---|---|---|---|---|---|---|")
	for _, side := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(os.Stderr, "| %s | %d ms | %s |\n", side, rtt.Milliseconds(), formatDistribution(values[side]))
	}
	for _, c := range clients {
		if err := c.endClient(); err != nil {
			return err
		}
	}
	return b.runLabCommand(ctx, "rtt", "0")
}

// formatDistribution returns a row of the table: count, least, median, 90 % and greatest, and how many
// values exceed 1.5 s.
func formatDistribution(values []float64) string {
	v := slices.Sorted(slices.Values(values))
	above := 0
	for _, x := range v {
		if x > 1.5 {
			above++
		}
	}
	at := func(part float64) string { return formatNumber(v[int(math.Ceil(part*float64(len(v))))-1]) }
	return fmt.Sprintf("%d | %s | %s | %s | %s | %d", len(v), formatNumber(v[0]), at(0.5), at(0.9), formatNumber(v[len(v)-1]), above)
}

// startClients starts one session with a login of its own, and n that share one. Their jobs have a
// time limit in minutes.
func (b *bench) startClients(ctx context.Context, n, minutes int) ([]client, error) {
	const apart = "/home/alice/apart" // the runtime directory of the first session
	if out, err := b.As(ctx, "alice", "laptop", "mkdir", "-p", "-m", "700", apart).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mkdir %s: %w: %s", apart, err, out)
	}
	var clients []client
	for i := range n + 1 {
		c := client{side: fmt.Sprintf("%d with one login", n), nth: i, read: make(chan struct{})}
		var environment []string
		if i == 0 {
			c.side, environment = "1 with its own login", []string{"XDG_RUNTIME_DIR=" + apart}
		}
		var err error
		c.session, err = b.startWith(ctx, environment, strconv.Itoa(6007+i), []string{"--partition", "shared", "--time", strconv.Itoa(minutes)},
			"/home/testserver", "127.0.0.1:{port}")
		if err != nil {
			return nil, err
		}
		if _, err := c.readStartTime(); err != nil {
			return nil, err
		}
		if err := c.awaitReady(); err != nil {
			return nil, err
		}
		go func() {
			defer close(c.read)
			for c.lines.Scan() {
				// Read the rest of the output, so that the pipe does not fill.
			}
		}()
		clients = append(clients, c)
	}
	return clients, nil
}

// measureRecovery cuts the network for a while and returns how long after its return each client
// answered. Each client gets one request after the other from before the cut on, and one more when the
// network returns.
func (b *bench) measureRecovery(ctx context.Context, clients []client, length time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make([]chan time.Time, len(clients))
	for i, c := range clients {
		answers[i] = make(chan time.Time, 1000)
		go func() {
			for ctx.Err() == nil {
				if b.getURL(ctx, c.url) == nil {
					answers[i] <- time.Now()
				}
				sleepContext(ctx, 100*time.Millisecond)
			}
		}()
	}
	sleepContext(ctx, 500*time.Millisecond)
	if err := b.runLabCommand(ctx, "cut"); err != nil {
		return nil, err
	}
	sleepContext(ctx, length)
	before := time.Now() // an answer after this came over the restored network
	if err := b.runLabCommand(ctx, "heal"); err != nil {
		return nil, err
	}
	healed := time.Now()
	for i, c := range clients {
		go func() {
			if b.getURL(ctx, c.url) == nil {
				answers[i] <- time.Now()
			}
		}()
	}
	took := make([]time.Duration, len(clients))
	for i := range clients {
		for at := before; !at.After(before); {
			select {
			case at = <-answers[i]:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			took[i] = max(0, at.Sub(healed))
		}
	}
	return took, nil
}

// awaitLogins waits until there are at most that many logins. A replaced connection stays for as long as
// a channel is open over it.
func (b *bench) awaitLogins(ctx context.Context, logins int) error {
	for {
		out, err := b.As(ctx, "root", "ela", "pgrep", "-fc", `sshd.*alice \[priv\]`).Output()
		if err != nil {
			return fmt.Errorf("count logins: %w", err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil {
			return fmt.Errorf("count logins: %w", err)
		}
		if n <= logins {
			return nil
		}
		sleepContext(ctx, time.Second)
	}
}

// sleepContext sleeps for d or until ctx ends.
func sleepContext(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
