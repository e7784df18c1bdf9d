//go:build lab

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alps-tunnel/cscs/internal/waittest"
)

// leave is a round of a session that is left in the queue for longer than its lease, and is attended again
// when it has begun. No fault explains an end of it before.
func (c *chaos) leave(total tally) string {
	t, p := c.t, c.plan
	c.s = c.cscs(append([]string{"run", "--detach"}, c.words()...)...)
	if code := c.s.exit(2 * patience); code != 0 {
		total.wrong(t, noReason, "--detach ended with %d before any fault\n%s%s", code, c.s.stdout, c.s.stderr)
		c.free()
		c.rest(total)
		return "it could not be left"
	}
	left := time.Now()
	job, _ := c.job()
	c.suffer()
	// A runner that starts counts two leases from the last sign of life.
	waittest.SpendRealTime(time.Until(left.Add(2*p.lease + 4*time.Second)))
	how := "it was left, and begun when there was room"
	if now, node := c.waiting(); now != job || node != "" || job == "" {
		total.wrong(t, requestGone, "%v after it was left, job %q is %q on %q", time.Since(left), job, now, node)
		how = "its request was lost"
	}
	c.free()
	if how == "it was left, and begun when there was room" && !c.takeUp(total) {
		how = "it was left, and could not be attended again"
	}
	c.rest(total)
	return how
}

// waiting asks for the job until slurmctld answers.
func (c *chaos) waiting() (job, node string) {
	poll(patience, func() string {
		if job, node = c.job(); job == "" {
			return "no job"
		}
		return ""
	})
	return job, node
}

// takeUp attends the session when it has begun, sees its server, and stops it.
func (c *chaos) takeUp(total tally) bool {
	t, id := c.t, c.id()
	if why := poll(2*patience, func() string {
		text, _ := os.ReadFile(clusterHome(".cscs/daint", id, "events"))
		if strings.Contains(string(text), "alive\t") {
			return ""
		}
		return "no runner: " + c.jobs()
	}); why != "" {
		total.wrong(t, requestGone, "%v after there was room: %s", 2*patience, why)
		return false
	}
	a := c.cscs("attach", id)
	e, ok := a.await(patience, "ready", "ended")
	if !ok || e.Event != "ready" {
		total.wrong(t, requestGone, "attached: %s%s", a.stdout, a.stderr)
		return false
	}
	if why := poll(comeback, func() string {
		code, body := get(t, e.URL)
		if code == 200 {
			return ""
		}
		return body
	}); why != "" {
		total.wrong(t, urlLost, "%s", why)
	} else {
		c.inspect(e.URL)
	}
	a.signal(syscall.SIGINT)
	if code := a.exit(patience); code != 0 {
		total.wrong(t, untidy, "asked to detach, attach ended with %d", code)
	}
	if out, err := cmd(t, append(slices.Clone(c.beside.env), "stop", id)...); err != nil {
		total.wrong(t, untidy, "stop: %v: %s", err, out)
	}
	if left := c.jobs(); left != "" {
		total.wrong(t, untidy, "stopped, and in the queue is %s", left)
	}
	return true
}

// rest is the end of a round without a client.
func (c *chaos) rest(total tally) {
	if c.t.Failed() {
		c.t.Logf("%s\nstdout: %s\nstderr: %s", c.plan, c.s.stdout, c.s.stderr)
		_, _ = cmd(c.t, append(slices.Clone(c.beside.env), "stop", c.id())...)
	}
	how := ""
	c.judgeRest(total, &how)
	c.judgeNeighbours(total)
	fmt.Printf("round    : detached%s\n", how)
}
