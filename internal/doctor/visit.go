package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"github.com/alps-tunnel/cscs/forward/chain"
	"github.com/alps-tunnel/cscs/slurm"
)

// A diagnosis is one Run. What a check leaves behind for those that rest on it is theirs to
// read once it is over.
type diagnosis struct {
	cfg     Config
	running conc.WaitGroup
	over    map[string]chan struct{} // closed when the check is

	mu        sync.Mutex
	badChecks map[string]string // checks that failed, were skipped or bar others, with why: mostly the one that failed

	target    CheckTarget   // of "config"
	addrs     []netip.Addr  // of "names"
	roundTrip time.Duration // there and back, of "tcp"
	first     *chain.Chain  // of "ssh": to the first host; nil: it did not let us in
	dialErr   error         // and why
	chain     *chain.Chain  // of "login"
	exam      *slurm.Examination
	examErr   error
	closed    bool // guarded by mu: the visit is over
}

// close gives back what there is.
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

// runCheck looks at one check when its turn has come, and makes results of what it saw.
func (v *diagnosis) runCheck(ctx context.Context, c check) []Result {
	for _, name := range c.after {
		<-v.over[name]
	}
	began := time.Now()
	var found []finding
	root := v.failureCause(c.after)
	if root != "" {
		found = singleFinding(skippedFinding("", "not looked at, because of "+root))
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

// failureCause is why, mostly the check that failed,  the first of those is not good.
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

// An OvertimeError tells that a check did not come to an end.
type OvertimeError struct {
	Check string
	After time.Duration
}

func (e *OvertimeError) Error() string {
	return fmt.Sprintf("%s: no answer within %s", e.Check, e.After.Round(100*time.Millisecond))
}

// errTime is the cause of the end of a check's time.
var errTime = errors.New("its time is up")

// runWithLimit runs the check until its time is up. One that does not heed that, as a file
// system that hangs, is left behind.
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
	// What heeds it has words of its own for it.
	grace := time.NewTimer(500 * time.Millisecond)
	defer grace.Stop()
	select {
	case found := <-done:
		return found
	case <-grace.C:
		return singleFinding(failureFinding("", &OvertimeError{Check: c.name, After: time.Since(began)}))
	}
}

// newResult makes a finding what the user is told.
func (v *diagnosis) newResult(name string, f finding, took time.Duration) Result {
	r := Result{V: 1, Time: v.cfg.Now().UTC(), Check: name, Host: f.host, Status: f.status, Seen: f.seen, Err: f.err, Took: took.Round(time.Millisecond).Seconds()}
	if errors.Is(f.err, errTime) { // what it was waiting for, nobody says
		f.err = &OvertimeError{Check: name, After: took}
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
