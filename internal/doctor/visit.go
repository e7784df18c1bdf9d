package doctor

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/slurm"
)

// A diagnosis is the state of one Run. A check leaves results in it for the checks that depend on
// it, which read them after it has ended.
type diagnosis struct {
	cfg     Config
	running conc.WaitGroup
	over    map[string]chan struct{} // closed when the check has ended

	mu        sync.Mutex
	badChecks map[string]string // checks whose dependents are skipped, with the original failure

	target    CheckTarget   // from "config"
	addrs     []netip.Addr  // from "names"
	roundTrip time.Duration // from "tcp"
	first     *chain.Chain  // from "ssh": to the first host; nil: the login failed
	dialErr   error         // the error of that login
	chain     *chain.Chain  // from "login"
	exam      *slurm.Examination
	examErr   error
	closed    bool // guarded by mu: the run is over
}

// close waits for the checks and closes the chains.
func (v *diagnosis) close() {
	v.running.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	for _, c := range []*chain.Chain{v.chain, v.first} {
		if c != nil {
			_ = c.Close()
		}
	}
}

// runCheck waits for the checks that c depends on, runs c, and returns its results.
func (v *diagnosis) runCheck(ctx context.Context, c check) []Result {
	for _, name := range c.after {
		<-v.over[name]
	}
	began := time.Now()
	var found []finding
	root := v.failureCause(c.after)
	if root != "" {
		found = withFacts(skippedFinding("", "skipped, because of "+root), "because of %s", root)
	} else {
		found = v.runWithLimit(ctx, c)
	}
	var results []Result
	for _, f := range found {
		results = append(results, v.newResult(c.name, f, time.Since(began)))
		if f.status == Failure || f.status == Skipped || f.blockReason != "" {
			v.mu.Lock()
			v.badChecks[c.name] = cmp.Or(root, f.blockReason, c.name)
			v.mu.Unlock()
		}
	}
	return results
}

// failureCause returns the original failure of the first of those checks that is not good, or "".
func (v *diagnosis) failureCause(names []string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range names {
		if root := v.badChecks[name]; root != "" {
			return root
		}
	}
	return ""
}

// errTime is the cause of a context that ends with a check's time.
var errTime = errors.New("its time is up")

// runWithLimit runs a check until its time is up. If the check ignores that, for example on a file
// system that hangs, its goroutine is left behind.
func (v *diagnosis) runWithLimit(ctx context.Context, c check) []finding {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, errTime)
	defer cancel()
	began := time.Now()
	done := make(chan []finding, 1)
	go func() { done <- c.run(v, ctx) }()
	select {
	case found := <-done:
		return found
	case <-ctx.Done():
	}
	// A check that heeds the end of its context describes the timeout itself.
	grace := time.NewTimer(500 * time.Millisecond)
	defer grace.Stop()
	select {
	case found := <-done:
		return found
	case <-grace.C:
		return failureFinding("", newOvertimeError(c.name, time.Since(began)))
	}
}

// newResult turns a finding into a result with the words for the user.
func (v *diagnosis) newResult(name string, f finding, took time.Duration) Result {
	r := Result{V: 1, Time: v.cfg.Now().UTC(), Check: name, Host: f.host, Status: f.status, Seen: f.seen, Err: f.err, Facts: f.facts, Took: took.Round(time.Millisecond).Seconds()}
	if errors.Is(f.err, errTime) { // the error does not say what timed out
		f.err = newOvertimeError(name, took)
	}
	if f.err != nil {
		r.Err = f.err
		e := v.cfg.Explain(f.err)
		r.Seen, r.Problem, r.Hint, r.Fix = e.Message, e.ID, e.Hint, e.Fix
		r.Code = &e.Code
	}
	r.Seen = strings.Join(strings.Fields(r.Seen), " ")
	return r
}
