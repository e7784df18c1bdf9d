package demo

// What a test does to a cluster in place of its operators and other users. Tests do the same to
// the lab.

// Queue returns the active jobs, one a line: number, name, state, reason.
func (c *Cluster) Queue() string { return c.ctl.formatQueue() }

// Cancel cancels a job, as scancel does.
func (c *Cluster) Cancel(job string) { c.ctl.endJobByID(job, "CANCELLED") }

// Expire ends a job as at its time limit.
func (c *Cluster) Expire(job string) { c.ctl.endJobByID(job, "TIMEOUT") }

// Occupy gives all free nodes to another user, until release is called.
func (c *Cluster) Occupy() (release func()) { return c.ctl.occupyFreeNodes() }

// Cut cuts the connection to the jump host until Heal is called. Connections break, and new ones
// get no answer.
func (c *Cluster) Cut() {
	c.mu.Lock()
	c.jumpCut = true
	c.mu.Unlock()
	c.jump.Cut()
}

// Heal ends a Cut. It serves the connections that came meanwhile, as after a retransmitted SYN.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jumpCut = false
	for _, conn := range c.heldConns {
		c.tasks.Go(func() { c.jump.Serve(conn) })
	}
	c.heldConns = nil
}

// TurnAway makes the nodes' own sshd refuse every user, or ends that.
func (c *Cluster) TurnAway(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodesRefuse = on
}
