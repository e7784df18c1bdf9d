package demo

// What can be done to a cluster by others than its user: for tests, which do the same to
// the lab.

// Queue is what squeue shows, one job a line: number, name, state, reason.
func (c *Cluster) Queue() string { return c.ctl.queue() }

// State is the state of a job, "" when it has left the queue.
func (c *Cluster) State(job string) string { return c.ctl.stateOf(job) }

// Cancel is scancel by somebody.
func (c *Cluster) Cancel(job string) { c.ctl.cancel(job, "CANCELLED", false) }

// Expire is the end of a job's time limit.
func (c *Cluster) Expire(job string) { c.ctl.cancel(job, "TIMEOUT", false) }

// Fail is the end of the job's node.
func (c *Cluster) Fail(job string) { c.ctl.cancel(job, "NODE_FAIL", true) }

// Occupy gives all nodes to another user, until release is called.
func (c *Cluster) Occupy() (release func()) { return c.ctl.occupy() }

// Cut takes the line to the jump host away, until Heal is called: connections break, and new
// ones are not answered.
func (c *Cluster) Cut() {
	c.mu.Lock()
	c.cut = true
	c.mu.Unlock()
	c.jump.Cut()
}

// Heal gives it back.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
	for _, conn := range c.mute {
		_ = conn.Close()
	}
	c.mute = nil
}

// TurnAway has the nodes' own sshd refuse everybody, or not any more.
func (c *Cluster) TurnAway(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turned = on
}
